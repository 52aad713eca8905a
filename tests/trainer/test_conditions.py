"""Conditions as they are written down, on a command line and in JSON."""

import json

import pytest
from pydantic import ValidationError

from models.errors import ConfigError
from trainer.conditions import (
    KINDS,
    Condition,
    Step,
    all_conditions,
    eight,
    parse_condition,
    parse_conditions,
)

EIGHT = [
    "original",
    "position",
    "brightness",
    "background",
    "position+brightness",
    "position+background",
    "brightness+background",
    "position+brightness+background",
]


def kinds_of(condition: Condition) -> list[str]:
    return [step.kind for step in condition.steps]


def test_the_eight_conditions_of_the_experiment_have_fixed_names_in_a_fixed_order():
    assert [condition.name for condition in eight()] == EIGHT


def test_the_original_has_no_steps_and_the_others_have_each_kind_of_their_name_once():
    assert eight()[0].steps == ()
    for condition in eight()[1:]:
        assert sorted(kinds_of(condition)) == sorted(condition.name.split("+"))


def test_background_is_applied_before_position_and_position_before_brightness():
    assert kinds_of(eight()[-1]) == ["background", "position", "brightness"]


def test_all_conditions_are_the_eight_and_each_other_kind_alone():
    names = [condition.name for condition in all_conditions()]
    assert names == [*EIGHT, *KINDS[3:]]


def test_another_strength_than_the_usual_stands_in_the_name():
    assert eight(0.25)[4].name == "position:0.25+brightness:0.25"
    assert Condition.of(Step(kind="jpeg", strength=1)).name == "jpeg:1"
    assert Condition.of(Step(kind="jpeg", strength=0.5)).name == "jpeg"


@pytest.mark.parametrize("strength", [0, 1e-7, 0.1, 1 / 3, 0.5, 0.8, 1])
def test_a_name_reads_back_as_the_same_condition(strength):
    for condition in all_conditions(strength):
        assert parse_condition(condition.name) == condition


def test_kinds_may_be_named_in_any_order():
    assert parse_condition("brightness+position") == parse_condition("position+brightness")
    assert parse_condition("brightness+position").name == "position+brightness"


def test_a_condition_goes_into_json_and_back():
    condition = parse_condition("position+jpeg:0.8")
    raw = json.loads(condition.model_dump_json())
    assert raw == {
        "name": "position+jpeg:0.8",
        "steps": [{"kind": "position", "strength": 0.5}, {"kind": "jpeg", "strength": 0.8}],
    }
    assert Condition.model_validate_json(json.dumps(raw)) == condition


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("blur", "condition 'blur': 'blur' is none; wanted original, or with + between them: position, brightness,"),
        ("", "'' is none"),
        ("position+", "condition 'position+': '' is none"),
        ("original+jpeg", "'original' is none"),
        ("Position", "'Position' is none"),
        ("jpeg+jpeg:0.8", "jpeg stands there twice; name each kind once"),
        ("jpeg:2", "strength '2'; wanted 0 to 1, as in jpeg:0.8"),
        ("jpeg:-0.1", "strength '-0.1'"),
        ("jpeg:nan", "strength 'nan'"),
        ("jpeg:much", "strength 'much'"),
        ("jpeg:", "strength ''"),
        ("original:0.5", "'original' is none"),
    ],
)
def test_what_is_no_condition_is_refused_with_what_was_wanted(text, said):
    with pytest.raises(ConfigError) as refused:
        parse_condition(text)
    assert said in str(refused.value)


def test_the_refusal_lists_every_name():
    with pytest.raises(ConfigError) as refused:
        parse_condition("x" * 500)
    assert all(kind in str(refused.value) for kind in KINDS)
    assert len(str(refused.value)) < 400


def test_several_are_named_with_commas_and_spaces():
    found = parse_conditions("original, position+brightness,jpeg:0.8")
    assert [condition.name for condition in found] == ["original", "position+brightness", "jpeg:0.8"]


def test_the_same_condition_twice_in_a_list_is_refused():
    with pytest.raises(ConfigError, match=r"'position\+brightness' stands there twice"):
        parse_conditions("position+brightness,brightness+position")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"name": "jpeg", "steps": []}, "its steps are called 'original'"),
        ({"name": "jpeg", "steps": [{"kind": "jpeg", "strength": 0.8}]}, "its steps are called 'jpeg:0.8'"),
        ({"name": "smoke", "steps": [{"kind": "smoke"}]}, "Input should be 'position'"),
        ({"name": "jpeg:2", "steps": [{"kind": "jpeg", "strength": 2}]}, "less than or equal to 1"),
        ({"name": "jpeg:NaN", "steps": [{"kind": "jpeg", "strength": float("nan")}]}, "finite number"),
        ({"name": "jpeg+jpeg", "steps": [{"kind": "jpeg"}, {"kind": "jpeg"}]}, "jpeg stands there twice"),
        (
            {"name": "position+background", "steps": [{"kind": "position"}, {"kind": "background"}]},
            "the order background, position,",
        ),
        ({"name": "original", "steps": [], "seed": 3}, "Extra inputs"),
    ],
)
def test_a_description_that_contradicts_itself_or_is_not_known_is_refused(raw, said):
    with pytest.raises(ValidationError, match=said):
        Condition.model_validate(raw)


def test_a_condition_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        eight()[1].name = "other"
    assert len({eight()[1], eight()[1], eight()[2]}) == 2, "and is a key"
