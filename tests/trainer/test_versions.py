"""Data sets with versions, by the command: what goes in, what is refused, what never changes."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.files import sha256_of
from models.prediction import Image
from tests import tiny
from tests.trainer.pulled import PulledBox, noise
from trainer.cli import main
from trainer.dataset import scan
from trainer.study.sheet import NEAR, look_bits
from trainer.versions.store import DatasetStore


@pytest.fixture
def store(tmp_path) -> Path:
    return tmp_path / "parts.store"


@pytest.fixture
def dataset(store, capsys):
    """The command: exit code, stdout, stderr."""

    def run(action: str, *arguments: object) -> tuple[int, str, str]:
        code = main(["dataset", action, *map(str, arguments), "--store", str(store)])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def parts(tmp_path) -> Path:
    """4 + 2 good parts and 2 scratched ones with masks, in MVTec AD's layout."""
    root = tmp_path / "parts"
    for seed in range(8):
        place = ("train/good", "test/good", "test/scratch")[(seed > 3) + (seed > 5)]
        tiny.write_image(root / place / f"{seed:03}.png", noise(seed))
        if seed > 5:
            tiny.write_image(root / "ground_truth/scratch" / f"{seed:03}_mask.png", noise(100 + seed))
    return root


@pytest.fixture
def pulled(tmp_path) -> PulledBox:
    return PulledBox(tmp_path / "pulled" / "line3-a")


def snapshot(store: Path, name: str) -> dict[str, object]:
    return json.loads((store / "snapshots" / f"{name}.json").read_text())


def roles(store: Path, name: str) -> dict[str, str]:
    return {item["picture"]: item["role"] for item in snapshot(store, name)["items"]}


def test_sorted_folders_become_a_snapshot_with_the_roles_that_they_name(dataset, parts, store):
    assert dataset("add", parts)[1] == "added: 6 good, 2 scratch\n"
    assert "snapshot v1: 4 good to learn from; 2 good, 2 scratch to test on, for good" in dataset("snapshot")[1]
    items = snapshot(store, "v1")["items"]
    by_picture = {item["picture"]: item for item in items}
    first = by_picture[sha256_of(parts / "train/good/000.png")]
    assert (first["role"], first["label"], first["mask"]) == ("train", "good", None)
    assert first["said_by"] == [{"kind": "folder", "folder": "parts", "path": "train/good/000.png", "role": "train"}]
    scratched = by_picture[sha256_of(parts / "test/scratch/006.png")]
    assert scratched["mask"] == sha256_of(parts / "ground_truth/scratch/006_mask.png")


def test_adding_twice_changes_nothing(dataset, parts, store):
    dataset("add", parts)
    before = sorted(path for path in store.rglob("*"))
    assert dataset("add", parts)[1] == "added: nothing; 8 were there before\n"
    assert sorted(path for path in store.rglob("*")) == before


def test_answers_of_boxes_come_with_box_bundle_verdict_reviewer_and_time(dataset, pulled, store):
    pulled.reviewed(noise(0), "false_reject")
    pulled.reviewed(noise(1), "agree", kind="dent")
    pulled.reviewed(noise(2), "missed_defect", outcome="ok")
    pulled.reviewed(noise(3), "unclear")
    pulled.part(noise(4))
    words = dataset("add", pulled.folder.parent)[1]
    assert words == "added: 1 answers that name nothing, 1 defect, 1 dent, 1 good\n"
    dataset("snapshot")
    items = {item["label"]: item for item in snapshot(store, "v1")["items"]}
    assert sorted(items) == ["defect", "dent", "good"]
    (origin,) = items["good"]["said_by"]
    wanted = {"box": "line3-a", "said": "false_reject", "by": "sato", "outcome": "ng", "bundle": "a" * 64}
    assert wanted.items() <= origin.items()
    assert origin["at"].startswith("20")


def test_a_box_given_by_itself_is_taken_too(dataset, pulled):
    pulled.reviewed(noise(0), "agree")
    assert dataset("add", pulled.folder)[1] == "added: 1 defect\n"


def test_an_answer_without_its_picture_is_left_out_and_counted(dataset, pulled):
    key = pulled.reviewed(noise(0), "agree")
    (pulled.folder / "evidence" / f"{key}.png").unlink()
    assert "1 answer(s) whose picture is not there" in dataset("add", pulled.folder)[1]


def test_another_picture_than_the_one_that_was_looked_at_is_refused(dataset, pulled):
    key = pulled.reviewed(noise(0), "agree")
    tiny.write_image(pulled.folder / "evidence" / f"{key}.png", noise(1))
    code, _, err = dataset("add", pulled.folder)
    assert code == 1
    assert "not the picture that sato looked at; pull it from line3-a again" in err


def test_an_answer_that_was_taken_back_or_changed_counts_no_more(dataset, pulled, store):
    first, second = pulled.reviewed(noise(0), "false_reject"), pulled.reviewed(noise(1), "false_reject")
    dataset("add", pulled.folder)
    pulled.say(first, "undo")
    pulled.say(second, "agree")
    dataset("add", pulled.folder)
    dataset("snapshot")
    assert [item["label"] for item in snapshot(store, "v1")["items"]] == ["defect"]


def test_labels_in_conflict_are_shown_and_no_snapshot_is_made_until_they_are_settled(dataset, pulled, store):
    key = pulled.reviewed(noise(0), "agree", by="sato")
    pulled.say(key, "false_reject", by="mori")
    pulled.reviewed(noise(1), "false_reject")
    dataset("add", pulled.folder)
    code, _, err = dataset("snapshot")
    assert code == 1
    assert "labels in conflict on 1 picture(s)" in err
    assert "defect by sato (agree of ng, box line3-a" in err
    assert "good by mori (false_reject of ng" in err
    assert not (store / "snapshots").exists()
    (line,) = [line for line in dataset("show")[1].splitlines() if line.startswith("CONFLICT ")]
    picture = line.split()[1][:12]
    assert "left out, in conflict" in dataset("snapshot", "--leave-out", "conflicts")[1]
    assert len(snapshot(store, "v1")["items"]) == 1
    assert dataset("settle", picture, "dent", "--by", "abe", "--note", "seen under glass")[0] == 0
    dataset("snapshot")
    assert sorted(item["label"] for item in snapshot(store, "v2")["items"]) == ["dent", "good"]


def test_a_word_after_the_last_one_is_a_conflict_again(dataset, pulled):
    key = pulled.reviewed(noise(0), "agree")
    dataset("add", pulled.folder)
    picture = sha256_of(pulled.folder / "evidence" / f"{key}.png")
    dataset("settle", picture[:12], "dent", "--by", "abe")
    pulled.say(key, "false_reject", by="mori")
    dataset("add", pulled.folder)
    assert "dent by abe, who settled it" in dataset("snapshot")[2]


def test_a_defect_without_a_kind_contradicts_none_that_has_one(dataset, pulled, store):
    key = pulled.reviewed(noise(0), "agree", by="sato")
    pulled.say(key, "agree", by="mori", kind="dent")
    dataset("add", pulled.folder)
    dataset("snapshot")
    assert [item["label"] for item in snapshot(store, "v1")["items"]] == ["dent"]


def test_the_same_pixels_in_another_file_are_the_same_picture(dataset, pulled, parts, store):
    image = cv2.imread(str(parts / "train/good/000.png"))
    key = pulled.part(image)
    (pulled.folder / "evidence" / f"{key}.png").write_bytes(
        cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 0])[1].tobytes()
    )
    pulled.say(key, "agree")
    dataset("add", parts)
    dataset("add", pulled.folder)
    assert "labels in conflict on 1 picture(s)" in dataset("snapshot")[2]


def test_the_same_picture_to_learn_from_and_to_test_on_is_refused(dataset, parts, store):
    tiny.write_image(parts / "test/good/again.png", noise(0))
    dataset("add", parts)
    code, _, err = dataset("snapshot")
    assert code == 1
    assert "1 picture(s) to learn from look like one to test on" in err
    assert not (store / "snapshots").exists()


def test_a_picture_that_only_looks_alike_is_a_leak_too_unless_near_says_else(dataset, parts, store):
    brighter = np.clip(noise(0).astype(int) + 3, 0, 255).astype(np.uint8)
    tiny.write_image(parts / "test/good/again.png", brighter)
    dataset("add", parts)
    assert "look like one to test on" in dataset("snapshot")[2]
    assert "left out, a leak:" in dataset("snapshot", "--leave-out", "leaks")[1]
    left = {item["said_by"][0]["path"] for item in snapshot(store, "v1")["items"]}
    assert "train/good/000.png" not in left
    assert "test/good/again.png" in left


def mixed(share: float) -> Image:
    """From one noise to another."""
    return np.asarray((1 - share) * noise(0) + share * noise(1), np.uint8)


def test_a_new_picture_between_an_old_one_to_learn_from_and_one_to_test_on_is_left_out(dataset, tmp_path):
    def apart(share: float) -> int:
        return int(np.sum(look_bits(mixed(share)) != look_bits(noise(0))))

    far = next(share for share in np.arange(0, 0.5, 0.01) if apart(share) > NEAR)
    assert int(np.sum(look_bits(mixed(far / 2)) != look_bits(mixed(far)))) <= NEAR
    tiny.write_image(tmp_path / "a/train/good/0.png", noise(0))
    tiny.write_image(tmp_path / "a/test/good/1.png", mixed(far))
    dataset("add", tmp_path / "a")
    assert dataset("snapshot")[0] == 0
    tiny.write_image(tmp_path / "b/good/2.png", mixed(far / 2))
    dataset("add", tmp_path / "b")
    assert "look like one to test on" in dataset("snapshot")[2]
    assert "nothing has changed since snapshot v1" in dataset("snapshot", "--leave-out", "leaks")[1]


def test_what_was_tested_on_once_is_never_learned_from(dataset, tmp_path, store):
    for seed in range(12):
        tiny.write_image(tmp_path / "a" / ("good" if seed < 8 else "dent") / f"{seed}.png", noise(seed))
    dataset("add", tmp_path / "a")
    dataset("snapshot", "--test-share", "0.25")
    first = roles(store, "v1")
    assert sorted(first.values()).count("test") == 3
    for seed in range(12, 20):
        tiny.write_image(tmp_path / "b" / "good" / f"{seed}.png", noise(seed))
    dataset("add", tmp_path / "b")
    dataset("snapshot", "--test-share", "0.75")
    later = roles(store, "v2")
    assert first.items() <= later.items()
    assert snapshot(store, "v2")["parent"] == "v1"
    assert sum(role == "test" for picture, role in later.items() if picture not in first) == 6


def test_pictures_that_look_alike_come_to_the_same_side(dataset, tmp_path, store):
    for seed in range(6):
        for step in range(3):
            image = np.clip(noise(seed).astype(int) + step, 0, 255).astype(np.uint8)
            tiny.write_image(tmp_path / "a/good" / f"{seed}-{step}.png", image)
    dataset("add", tmp_path / "a")
    dataset("snapshot")
    sides = {}
    for item in snapshot(store, "v1")["items"]:
        sides.setdefault(item["said_by"][0]["path"].split("-")[0], set()).add(item["role"])
    assert all(len(found) == 1 for found in sides.values())
    assert {"train"} in sides.values()
    assert {"test"} in sides.values()


def test_a_snapshot_never_changes(dataset, parts, store):
    dataset("add", parts)
    dataset("snapshot", "--name", "first")
    before = (store / "snapshots/first.json").read_bytes()
    code, _, err = dataset("snapshot", "--name", "first")
    assert code == 2
    assert "is there, and a snapshot never changes; choose another name" in err
    assert (store / "snapshots/first.json").read_bytes() == before


def test_diff_and_list_say_what_came_went_and_changed(dataset, parts, pulled, store):
    dataset("add", parts)
    dataset("snapshot")
    assert "v1      20" in dataset("list")[1]
    pulled.reviewed(noise(50), "missed_defect", outcome="ok")
    dataset("add", pulled.folder)
    dataset("settle", sha256_of(parts / "train/good/000.png"), "dent", "--by", "abe")
    dataset("snapshot")
    out = dataset("diff", "v1", "v2")[1].splitlines()
    assert out[0] == "v1 -> v2: 1 came, 0 went, 1 have another label"
    assert out[1].startswith("+ ")
    assert "missed_defect of ok, box line3-a" in out[1]
    assert "dent by abe" in out[2]
    assert out[2].endswith(", was good")
    assert json.loads(dataset("show", "v1", "--json")[1])["name"] == "v1"


def test_a_checkout_is_a_folder_that_fit_and_evaluate_read(dataset, parts, pulled, tmp_path):
    dataset("add", parts)
    for seed in (50, 51):
        pulled.reviewed(noise(seed), "missed_defect", outcome="ok", kind="dent")
    dataset("add", pulled.folder)
    dataset("snapshot")
    for part in ("all", "train", "test"):
        assert dataset("checkout", "v1", "--to", tmp_path / part, "--part", part)[0] == 0
    train, test, every = (scan(tmp_path / part) for part in ("train", "test", "all"))
    assert (len(train.train_good), len(train.test_good), {k: len(v) for k, v in train.defects.items()}) == (
        4, 0, {"dent": 1},
    )  # fmt: skip
    assert (len(test.train_good), len(test.test_good)) == (0, 2)
    assert {k: len(v) for k, v in test.defects.items()} == {"dent": 1, "scratch": 2}
    assert (len(every.train_good), len(every.test_good), len(every.all_defects)) == (4, 2, 4)
    assert len(test.masks) == 2
    wanted = {sha256_of(path) for path in parts.glob("*/*/*.png") if "ground_truth" not in str(path)}
    assert {sha256_of(path) for path in (*every.train_good, *every.test_good, *every.defects["scratch"])} == wanted


def test_a_damaged_object_is_found_before_anything_learns_from_it(dataset, parts, store, tmp_path):
    dataset("add", parts)
    dataset("snapshot")
    target = DatasetStore(store).object(sha256_of(parts / "train/good/000.png"), ".png")
    target.write_bytes(b"no picture")
    code, _, err = dataset("checkout", "v1", "--to", tmp_path / "out")
    assert code == 1
    assert "changed; add the picture again after taking this file away" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add", "no-such-folder"], "no such folder"),
        (["snapshot"], "no data set there; `mekiki-train dataset add DIR"),
        (["snapshot", "--leave-out", "all"], "--leave-out all: conflicts or leaks were wanted"),
        (["snapshot", "--name", "../x"], "--name '../x'"),
        (["diff", "v1", "v2"], "v1: no such snapshot in"),
        (["settle", "3f9a", "good", "--by", "abe"], "3f9a: no pictures of"),
        (["checkout", "v1", "--to", "here"], "v1: no such snapshot in"),
    ],
)
def test_what_is_not_there_is_named(dataset, arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = dataset(*arguments)
    assert code in (1, 2)
    assert words in err
