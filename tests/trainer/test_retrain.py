"""Retraining by the command: the same recipe on what people said, champion against challenger, and an honest end."""

import dataclasses
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from models.bundle import open_bundle
from models.manifest import Variant, parse_manifest
from models.prediction import Image
from tests import tiny
from tests.trainer.conftest import Fitted
from tests.trainer.plates import plate
from tests.trainer.pulled import PulledBox
from trainer.cli import main
from trainer.options import DetectionOptions, FitOptions
from trainer.retrain.recipe import recipe_of
from trainer.retrain.retrain import _learnable
from trainer.versions.store import DatasetStore

N_LIT = 18


def lit(seed: int, *, hole: bool = False) -> Image:
    """A plate under the new lamp: with stripes across it."""
    image = plate(seed, hole=hole).astype(np.float32)
    image[:, :, :] += 80 * np.sin(np.arange(image.shape[0]) / 5)[:, None, None]
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def base(fitted: Fitted, tmp_path_factory) -> Path:
    """A store with a first snapshot of what the champion was made from. All plates look much alike."""
    store = tmp_path_factory.mktemp("base") / "plates.store"
    assert main(["dataset", "add", str(fitted.plates.root), "--store", str(store)]) == 0
    assert main(["dataset", "snapshot", "--near", "0", "--store", str(store)]) == 0
    return store


@pytest.fixture
def store(base, tmp_path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "plates.store"))


@pytest.fixture(scope="module")
def pulled(tmp_path_factory) -> Path:
    """False rejects under a new lamp, and two defects, as two persons said."""
    box = PulledBox(tmp_path_factory.mktemp("pulled") / "line3")
    for seed in range(N_LIT):
        box.reviewed(lit(1000 + seed), "false_reject")
    for seed in range(4):
        box.reviewed(lit(2000 + seed, hole=True), "agree", by="mori", kind="hole")
    return box.folder.parent


def arguments(fitted: Fitted, store: Path, out: Path, *more: object) -> list[str]:
    always = ["--from", fitted.out, "--dataset", store, "--out", out, "--weights", fitted.weights]
    return [str(argument) for argument in ["retrain", *always, *more]]


@pytest.fixture(scope="module")
def challenged(fitted, base, pulled, tmp_path_factory) -> tuple[Path, Path, int]:
    """Store, bundle and exit code of one retraining with what was pulled."""
    folder = tmp_path_factory.mktemp("challenged")
    store, out = Path(shutil.copytree(base, folder / "plates.store")), folder / "plates2.bundle"
    return store, out, main(arguments(fitted, store, out, "--add", pulled))


class Loads(HTMLParser):
    """What a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href") and tag != "a"]


def test_a_challenger_that_learned_the_new_light_is_called_better(challenged):
    _, out, code = challenged
    match = json.loads((out.with_name(f"{out.name}.report") / "retrain.json").read_text())
    assert code == 0, match["everything"]
    both = match["everything"]
    assert both["decision"] == "better"
    assert both["missed"][1] <= both["missed"][0]
    assert both["rejected"][0] >= N_LIT // 2
    assert both["rejected"][1] < both["rejected"][0]
    assert match["snapshot"] == "v2"
    assert sum(part["is_new"] for part in match["parts"]) == (N_LIT + 4) // 2
    assert match["frozen"]["n_good"] == 4
    assert match["decision"] == "better"
    assert match["n_chosen"] == (N_LIT + 4) // 2, "the box asked for what the champion had said"
    assert match["n_seen"] == 8, "the champion's threshold was put by its test pictures"


def test_the_challenger_has_the_champions_recipe_and_learned_nothing_that_is_tested_on(challenged, fitted):
    store, out, _ = challenged
    old, new = fitted.bundle.manifest, open_bundle(out).manifest
    assert new.preprocess == old.preprocess
    for name in ("backbone", "layers", "weights", "seed"):
        assert getattr(new.training, name) == getattr(old.training, name)
    assert new.training.augmentation.angles_deg == old.training.augmentation.angles_deg
    items = json.loads((store / "snapshots/v2.json").read_text())["items"]
    tested = {item["picture"] for item in items if item["role"] == "test"}
    assert set(old.training.images) < set(new.training.images)
    assert not tested & (set(new.training.images) | set(new.threshold.seen))
    assert len(new.training.images) == len(old.training.images) + N_LIT // 2


def test_the_report_is_one_file_that_says_who_won_and_shows_where_they_differ(challenged):
    _, out, _ = challenged
    page = (out.with_name(f"{out.name}.report") / "retrain.html").read_text()
    assert "The challenger is better" in page
    assert "McNemar" in page
    loads = Loads()
    loads.feed(page)
    assert loads.found, "pictures of parts that they judge differently"
    assert all(what.startswith("data:image/jpeg;base64,") for what in loads.found)


def test_with_nothing_new_it_refuses_to_call_the_challenger_better_and_leaves_it_to_look_at(
    fitted, store, tmp_path, capsys
):
    out = tmp_path / "again.bundle"
    assert main(arguments(fitted, store, out)) == 3
    said = capsys.readouterr().out
    assert "nothing has changed since snapshot v1" in said
    assert "challenger: NOT SHOWN TO BE BETTER: neither decisions (McNemar, exact, p = 1) nor ranking" in said
    assert open_bundle(out).digest != fitted.bundle.digest
    assert "not shown to be better" in (tmp_path / "again.bundle.report/retrain.html").read_text()


def test_without_a_frozen_test_part_nothing_is_fitted(fitted, tmp_path, capsys):
    assert main(arguments(fitted, tmp_path / "empty.store", tmp_path / "out.bundle")) == 2
    assert "no snapshot there, so no test part that was frozen" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_test_part_without_defects_is_refused_before_the_fit(fitted, tmp_path, capsys):
    for seed in range(6):
        tiny.write_image(tmp_path / "good" / f"{seed}.png", plate(3000 + seed))
    store = tmp_path / "good.store"
    main(["dataset", "add", str(tmp_path), "--store", str(store)])
    main(["dataset", "snapshot", "--near", "0", "--store", str(store)])
    assert main(arguments(fitted, store, tmp_path / "out.bundle")) == 1
    assert "has 3 good parts and 0 defects to test on" in capsys.readouterr().err
    assert not (tmp_path / "out.bundle").exists()


def test_other_weights_than_those_of_the_champion_are_refused(fitted, store, tmp_path, capsys):
    (tmp_path / "other.pth").write_bytes(b"other")
    command = ["retrain", "--from", fitted.out, "--dataset", store, "--out", tmp_path / "out.bundle"]
    assert main(list(map(str, command))) == 2
    assert "--weights: the bundle was made with a file settled.pth" in capsys.readouterr().err
    assert main(list(map(str, [*command, "--weights", tmp_path / "other.pth"]))) == 2
    assert "give that one" in capsys.readouterr().err


def test_labels_in_conflict_stop_it_before_the_fit(fitted, store, tmp_path, capsys):
    box = PulledBox(tmp_path / "line4")
    key = box.reviewed(lit(1), "agree")
    box.say(key, "false_reject", by="mori")
    assert main(arguments(fitted, store, tmp_path / "out.bundle", "--add", box.folder)) == 1
    assert "labels in conflict on 1 picture(s)" in capsys.readouterr().err
    assert not (tmp_path / "out.bundle").exists()
    assert [path.name for path in (store / "snapshots").iterdir()] == ["v1.json"]


def test_the_recipe_of_other_families_is_read_from_their_records(tmp_path):
    found = parse_manifest((tiny.make_boxes_bundle(tmp_path / "b") / "manifest.json").read_bytes(), "b")
    found = found.model_copy(
        update={
            "model": "rtmdet-tiny",
            "training": found.training.model_copy(update={"steps": 70, "classes": ("defect",), "seed": 5}),
            "compatible": "m5-screw",
        }
    )
    options = recipe_of(found, None).options(tmp_path, tmp_path / "out")
    assert isinstance(options, DetectionOptions)
    assert (options.model, options.steps, options.batch, options.one_class) == ("rtmdet-tiny", 70, 1, True)
    assert (options.image_size, options.seed, options.compatible) == (tiny.SIDE_PX, 5, "m5-screw")


def test_what_fit_cannot_make_again_is_said(fitted):
    limit = fitted.bundle.manifest.threshold.model_copy(update={"policy": "fixed", "review_at_or_above": -1.0})
    recipe = recipe_of(fitted.bundle.manifest.model_copy(update={"threshold": limit}), fitted.weights)
    assert any("put by `mekiki-train threshold` (fixed)" in note for note in recipe.notes)
    assert any("a review band" in note for note in recipe.notes)
    options = recipe.options(fitted.plates.root, fitted.out)
    assert isinstance(options, FitOptions)
    assert (options.augment, options.upright) == ("auto", "off")


def test_defects_that_nobody_outlined_are_left_out_where_a_family_wants_masks(fitted, base):
    snapshot = DatasetStore(base).snapshots()[0]
    outlined, bare = (
        item.model_copy(update={"role": "train", "mask": mask})
        for item, mask in zip(snapshot.of("test", good=False)[:2], ("a" * 64, None), strict=True)
    )
    mixed = snapshot.model_copy(update={"items": (*snapshot.of("train"), outlined, bare)})
    recipe = recipe_of(fitted.bundle.manifest, fitted.weights)
    items, words = _learnable(mixed, dataclasses.replace(recipe, family="detection"))
    assert [item for item in items if item.label != "good"] == [outlined]
    assert words == ["1 defects to learn from are left out, as nobody drew where they are; detection wants masks"]
    assert _learnable(mixed, recipe) == (mixed.of("train"), [])


def test_further_precisions_and_the_width_of_patches_belong_to_the_recipe(fitted):
    manifest = fitted.bundle.manifest
    variant = Variant(
        precision="bf16",
        model="model-bf16.xml",
        hint="bf16",
        threshold=manifest.threshold,
        golden=manifest.golden,
        parity=manifest.parity,
    )
    narrow = manifest.training.model_copy(update={"feature_width": 64})
    changed = manifest.model_copy(update={"variants": (variant,), "training": narrow})
    recipe = recipe_of(changed, fitted.weights)
    options = recipe.options(fitted.plates.root, fitted.out)
    assert isinstance(options, FitOptions)
    assert (options.also, options.feature_width, options.bank) == (("bf16",), 64, 300)
    assert any("compared at f32; their further precisions (bf16) are not" in note for note in recipe.notes)
