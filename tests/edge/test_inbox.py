import threading

from edge.cameras.frame import Fault, Grab
from edge.inbox import CAPACITY, Inbox
from tests import tiny

LOST = Fault("camera_fault", "no picture")


def picture(source: str = "a") -> Grab:
    return Grab.now(tiny.frame(), source)


def taken(inbox: Inbox) -> list[tuple[str, int, str | None]]:
    frames = []
    while (frame := inbox.take()) is not None:
        frames.append((frame.camera, frame.seq, frame.grab.source))
    return frames


def test_what_was_put_comes_out_in_order_and_numbered_from_0():
    inbox = Inbox(["top"])
    for source in "abc":
        assert inbox.put("top", picture(source))
    inbox.finish("top")
    assert taken(inbox) == [("top", 0, "a"), ("top", 1, "b"), ("top", 2, "c")]


def test_a_finite_camera_waits_for_room_and_loses_nothing():
    inbox, sources = Inbox(["top"]), [str(i) for i in range(CAPACITY * 3)]

    def deliver() -> None:
        for source in sources:
            inbox.put("top", picture(source))
        inbox.finish("top")

    thread = threading.Thread(target=deliver)
    thread.start()
    assert [source for _, _, source in taken(inbox)] == sources
    thread.join(5)


def test_a_full_inbox_that_nobody_empties_lets_the_camera_go_when_abandoned():
    inbox, answers = Inbox(["top"]), []
    thread = threading.Thread(target=lambda: answers.extend(inbox.put("top", picture()) for _ in range(CAPACITY + 1)))
    thread.start()
    thread.join(0.1)
    assert thread.is_alive()
    inbox.abandon()
    thread.join(5)
    assert answers == [True] * CAPACITY + [False]


def test_the_newest_picture_of_a_live_camera_replaces_the_waiting_one_without_a_hole():
    inbox = Inbox(["side"])
    assert [inbox.offer("side", picture(source)) for source in "abc"] == [0, 1, 1]
    assert inbox.take().grab.source == "c"
    inbox.offer("side", picture("d"))
    inbox.finish("side")
    assert taken(inbox) == [("side", 1, "d")]


def test_a_fault_is_not_replaced_by_the_picture_after_it():
    inbox = Inbox(["side"])
    for grab in (picture("a"), Grab.now(None, fault=LOST), picture("b"), picture("c")):
        inbox.offer("side", grab)
    inbox.finish("side")
    assert [source for _, _, source in taken(inbox)] == ["a", None, "c"]


def test_faults_that_nobody_takes_are_bounded_and_the_rest_is_counted():
    inbox = Inbox(["side"])
    replaced = sum(inbox.offer("side", Grab.now(None, fault=LOST)) for _ in range(1000))
    inbox.finish("side")
    assert len(taken(inbox)) + replaced == 1000
    assert replaced > 900


def test_cameras_are_served_in_turn_though_one_has_more():
    inbox = Inbox(["top", "side"])
    for source in "abc":
        inbox.put("top", picture(source))
    inbox.put("side", picture("x"))
    inbox.finish("top")
    inbox.finish("side")
    assert [camera for camera, _, _ in taken(inbox)] == ["top", "side", "top", "top"]


def test_take_waits_until_something_comes_and_ends_when_all_have_finished():
    inbox, frames = Inbox(["top", "side"]), []
    thread = threading.Thread(target=lambda: frames.extend(taken(inbox)))
    thread.start()
    inbox.finish("side")
    inbox.put("top", picture())
    thread.join(0.1)
    assert thread.is_alive()
    inbox.finish("top")
    thread.join(5)
    assert frames == [("top", 0, "a")]
