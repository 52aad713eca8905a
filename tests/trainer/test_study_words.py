"""What a study says at the terminal."""

from tests.trainer.test_study_recommend import cell
from trainer.conditions import parse_conditions
from trainer.study.figures import summaries_of
from trainer.study.types import DataSheet
from trainer.study.words import _table, sheet_words


def sheet(same=(), alike=()):
    return DataSheet(
        root="screws",
        n_learn_good=2,
        n_learn_defect=0,
        n_test_good=1,
        defects={"dent": 1},
        sizes_px=((64, 64),),
        has_boxes=False,
        has_masks=False,
        duplicates=same,
        near_duplicates=alike,
        images={},
    )


def test_the_table_has_a_line_for_each_condition_and_says_what_failed():
    conditions = [one.name for one in parse_conditions("original,noise")]
    cells = [cell("small", protocol="matched"), cell("small"), cell("small", condition="noise", bad=[0.5] * 20)]
    assert _table("small", conditions, summaries_of(cells), ("matched", "frozen")) == [
        "small      learned from such pictures          learned without",
        "           AUC               P at recall 1     AUC               P at recall 1",
        "original   1.000 0.90-1.00   1.000 0.86-1.00   1.000 0.90-1.00   1.000 0.86-1.00",
        "noise      failed                              0.000 0.00-0.10   0.500 0.50-0.55",
        "",
    ]


def test_pictures_on_both_sides_are_warned_of_by_name_and_a_clean_set_is_not_spoken_of():
    assert sheet_words(sheet()) == []
    pairs = tuple((f"train/good/{i}.png", f"test/good/{i}.png") for i in range(5))
    same, alike = sheet_words(sheet(pairs[:1], pairs))
    assert same == (
        "warning: 1 pair(s) are the same picture, one learned from, one tested on: train/good/0.png and test/good/0.png"
    )
    assert alike.startswith("warning: 5 pair(s) look alike, one learned from, one tested on: train/good/0.png and ")
    assert alike.endswith("; ...")
    assert "train/good/3.png" not in alike
