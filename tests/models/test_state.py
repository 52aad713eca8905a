"""What may follow what: the record of a store, without a store."""

from datetime import UTC, datetime, timedelta

import pytest

from models.errors import BundleError
from models.state import MAX_EVENTS, State, Waiting

A, B, C = "a" * 64, "b" * 64, "c" * 64
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def on_trial() -> State:
    """B is on probation, A waits."""
    return State().activated(A, NOW).activated(B, NOW, on_probation=True)


def steps(state: State) -> list[tuple[str, str]]:
    return [(event.step, event.version) for event in state.history]


def test_the_first_version_is_not_on_probation_as_there_is_none_to_go_back_to():
    state = State().activated(A, NOW, on_probation=True)
    assert (state.active, state.previous, state.on_probation) == (A, None, False)


def test_a_version_on_probation_is_active_and_the_one_before_waits():
    state = on_trial()
    assert (state.active, state.previous, state.on_probation) == (B, A, True)


def test_a_version_that_proved_itself_is_committed_and_may_still_be_rolled_back_by_a_person():
    state = on_trial().committed(NOW, "200 parts")
    assert (state.active, state.previous, state.on_probation) == (B, A, False)
    assert state.rolled_back(NOW).active == A
    assert steps(state)[-1] == ("committed", B)


def test_a_version_that_failed_goes_and_is_not_tried_again():
    state = on_trial().given_up(NOW, "ng 40%")
    assert (state.active, state.previous, state.failed) == (A, None, {B: "ng 40%"})
    with pytest.raises(BundleError, match=r"version bbbbbbbbbbbb: was rolled back here \(ng 40%\); push a bundle that"):
        state.activated(B, NOW)
    with pytest.raises(BundleError, match="no version before the active one"):
        state.rolled_back(NOW)


def test_a_second_version_on_trial_keeps_the_proven_one_to_go_back_to():
    """Else two bad ones in a row would leave a bad one to go back to."""
    state = on_trial().activated(C, NOW, on_probation=True)
    assert (state.active, state.previous, state.on_probation) == (C, A, True)
    assert state.given_up(NOW, "late").active == A


def test_going_back_to_the_proven_one_by_activating_it_ends_the_probation():
    state = on_trial().activated(A, NOW, on_probation=True)
    assert (state.active, state.previous, state.on_probation) == (A, None, False)


def test_activating_the_active_version_changes_nothing():
    assert on_trial().activated(B, NOW) == on_trial()


def test_starts_are_counted_from_the_activation_on():
    state = on_trial().started("boot").started("boot")
    assert state.starts == 2
    assert state.committed(NOW, "").starts == 0
    assert state.activated(C, NOW, on_probation=True).starts == 0


def test_a_start_that_ended_in_order_or_with_the_machine_itself_speaks_against_no_version():
    state = on_trial().started("monday").started("monday")
    assert state.ended().starts == 1
    assert (state.failed_starts("monday"), state.failed_starts("tuesday")) == (2, 1)
    assert state.started("tuesday").failed_starts("tuesday") == 2
    assert state.ended().failed_starts("tuesday") == 1, "what ended in order was counted off already"


def test_a_version_waits_for_the_line_to_stop_and_a_later_decision_takes_its_place():
    state = State().activated(A, NOW).held(B, NOW, "reason")
    assert (state.active, state.waiting) == (A, Waiting(version=B, because="reason"))
    assert steps(state)[-1] == ("waiting", B)
    assert state.held(C, NOW).waiting == Waiting(version=C)
    for later in (state.activated(C, NOW), state.activated(A, NOW), state.activated(B, NOW), state.held(A, NOW)):
        assert later.waiting is None
    assert state.refused(B, NOW, "x").waiting is None
    assert state.refused(C, NOW, "x").waiting == state.waiting
    assert state.activated(B, NOW).rolled_back(NOW).held(C, NOW).rolled_back(NOW).waiting is None


def test_a_version_that_failed_is_not_held_either():
    with pytest.raises(BundleError, match="was rolled back here"):
        on_trial().given_up(NOW, "ng 40%").held(B, NOW)


def test_one_version_looks_on_until_it_is_ended_or_comes_into_force():
    state = State().activated(A, NOW).shadowed(B, NOW)
    assert (state.active, state.shadow) == (A, B)
    assert state.shadowed(B, NOW) == state
    assert state.shadowed(C, NOW).shadow == C
    assert state.unshadowed(NOW, "enough").shadow is None
    assert steps(state.unshadowed(NOW, "enough"))[-2:] == [("shadowed", B), ("shadow_ended", B)]
    assert State().unshadowed(NOW) == State()
    assert state.activated(C, NOW).shadow == B
    assert state.activated(B, NOW).shadow is None
    with pytest.raises(BundleError, match="is the active one"):
        state.shadowed(A, NOW)


def test_one_that_looks_on_and_comes_back_into_force_looks_on_no_more():
    state = on_trial().shadowed(A, NOW)
    assert state.rolled_back(NOW).shadow is None
    assert state.given_up(NOW, "late").shadow is None
    assert on_trial().shadowed(C, NOW).given_up(NOW, "late").shadow == C


@pytest.mark.parametrize("state", [State(), State().activated(A, NOW)])
def test_without_a_probation_nothing_is_committed_or_given_up(state):
    assert state.committed(NOW, "x") == state.given_up(NOW, "x") == state


def test_a_rollback_ends_a_probation_and_a_second_one_undoes_the_first():
    state = on_trial().rolled_back(NOW, "a person's word")
    assert (state.active, state.previous, state.on_probation, state.failed) == (A, B, False, {})
    assert state.rolled_back(NOW).active == B


def test_history_keeps_when_what_and_why_and_lets_the_oldest_go():
    state = State()
    for i in range(MAX_EVENTS + 5):
        state = state.noted("refused", A, NOW + timedelta(seconds=i), f"reason {i}")
    assert len(state.history) == MAX_EVENTS
    assert (state.history[0].why, state.history[-1].why) == ("reason 5", f"reason {MAX_EVENTS + 4}")


def test_a_record_from_before_is_read_and_one_of_ours_comes_back_as_it_was():
    old = State.model_validate_json(f'{{"active": "{A}", "previous": null}}')
    assert (old.active, old.on_probation, old.history) == (A, False, ())
    state = on_trial().started("boot").held(C, NOW).shadowed(A, NOW).noted("refused", C, NOW, "x")
    assert State.model_validate_json(state.model_dump_json(exclude_defaults=True)) == state
