"""`mekiki-train threshold` on real bundles: what it shows, what it writes, and what it leaves alone."""

import errno
import json
import math
import shutil
from pathlib import Path
from unittest.mock import Mock

import pytest

from models.bundle import MANIFEST, MODEL_BIN, MODEL_XML, open_bundle
from models.errors import ModelError
from models.files import sha256_of
from models.golden import check_golden
from models.images import read_image
from models.runner import Runner
from models.scoring import judge
from models.store import Store
from tests import tiny
from tests.models.test_bundle import edit, flip
from tests.trainer.conftest import said_by
from trainer.cli import main
from trainer.evaluate import figures
from trainer.policy import false_rejects_at, recall_at
from trainer.threshold import lower_bound, upper_bound

GOOD = range(30, 70)  # grey values: the score is 1/255 of it
SPOTS = range(60, 180, 3)
FAILED, WRONG_USAGE = 1, 2


def score(grey: float) -> float:
    return grey / 255


def picture(path: Path, grey: int) -> Path:
    """Each is a file of its own: its corner says of what kind it is."""
    image = tiny.frame(grey)
    image[-1, -1] = ord(path.parent.name[0])
    return tiny.write_image(path, image)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("threshold") / "data"
    for name, greys in (("good", GOOD), ("spot", SPOTS)):
        for grey in greys:
            picture(root / f"{name}/{grey:03}.png", grey)
    return root


@pytest.fixture
def made(tmp_path) -> Path:
    return tiny.make_bundle(tmp_path / "old.bundle")


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "new.bundle"


def arguments_for(bundle, data, *more) -> list[str]:
    return [str(argument) for argument in ["threshold", bundle, "--data", data, *more]]


def said(*arguments) -> str:
    return said_by(arguments_for(*arguments))


def told(*arguments) -> dict:
    return json.loads(said(*arguments, "--json"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# What it shows.


def test_the_table_marks_the_shipped_threshold_and_every_row_is_what_evaluate_says_there(made, data):
    found = told(made, data)
    good, spots = ([score(grey) for grey in greys] for greys in (GOOD, SPOTS))
    (shipped,) = [row for row in found["thresholds"] if row["marks"]]
    assert (shipped["marks"], shipped["threshold"]) == (["shipped"], 0.5)
    assert 6 <= len(found["thresholds"]) <= 13
    for row in found["thresholds"]:
        want = figures(good, spots, row["threshold"])
        assert {name: row[name] for name in row if name != "marks"} == {
            name: want[name] for name in row if name != "marks"
        }
    assert found["new"] is None


def test_the_json_has_all_that_evaluate_says(made, data):
    found = told(made, data)
    measured = json.loads(said_by(["evaluate", str(made), "--data", str(data), "--json"]))
    for one in (found, measured):
        del one["latency_s"]
    assert measured.items() <= found.items()
    assert found.keys() - measured.keys() == {"thresholds", "new"}


def test_without_a_policy_nothing_is_written(made, data, tmp_path):
    before = contents(tmp_path)
    words = said(made, data)
    assert words.startswith("40 good, 40 defects; at least and at most: with 95 % confidence each\n")
    assert "  <- shipped" in words
    assert "bundle:" not in words
    assert contents(tmp_path) == before


def test_with_a_policy_and_no_out_a_new_threshold_is_shown_and_nothing_is_written(made, data, tmp_path):
    before = contents(tmp_path)
    words = said(made, data, "--policy", "fixed", "--at", 0.3)
    assert "  <- new" in words
    assert words.endswith("bundle: none was written; add --out BUNDLE2\n")
    assert told(made, data, "--policy", "fixed", "--at", 0.3)["new"]["written"] is None
    assert contents(tmp_path) == before


def test_images_that_the_bundle_learned_from_are_left_out_of_table_and_threshold(made, data, out):
    learned = [sha256_of(path) for path in (data / "good/030.png", data / "good/069.png", data / "spot/060.png")]
    edit(made, lambda raw: raw["training"].update(images=learned))
    words = said(made, data, "--policy", "recall_1", "--out", out)
    assert words.startswith("38 good, 39 defects; ")
    assert "note: 3 image(s) left out, as the bundle learned from them" in words
    limit = open_bundle(out).manifest.threshold
    assert (limit.n_good, limit.n_defect) == (38, 39)
    assert not set(learned) & set(limit.seen)


def test_only_the_named_kinds_of_defect_are_shown_and_chosen_on(made, data, tmp_path, out):
    both = Path(shutil.copytree(data, tmp_path / "both"))
    for grey in (200, 210, 220):
        picture(both / f"scratches/{grey}.png", grey)
    assert said(made, both).startswith("40 good, 43 defects; ")
    words = said(made, both, "--defects", "scratches", "--policy", "recall_1", "--out", out)
    assert words.startswith("40 good, 3 defects; ")
    assert open_bundle(out).manifest.threshold.ng_at_or_above == pytest.approx(score((200 + 69) / 2), rel=1e-5)


# What it writes.


@pytest.mark.parametrize("make", [tiny.make_bundle, tiny.make_boxes_bundle])
def test_a_new_bundle_is_the_old_one_but_for_its_threshold(make, data, tmp_path, out):
    old = make(tmp_path / "old.bundle")
    before = contents(old)
    words = said(old, data, "--policy", "fixed", "--at", 0.65, "--out", out)
    assert contents(old) == before, "bundles are never edited"
    after = contents(out)
    assert before.keys() == after.keys()
    assert {name for name in after if after[name] != before[name]} == {MANIFEST}
    was, now = (json.loads(files[MANIFEST]) for files in (before, after))
    changed = {name for name in now if now[name] != was[name]}
    assert changed == {"created_at", "made_from", "threshold"}, "the golden images come out as before"
    bundle = open_bundle(out)
    assert bundle.manifest.made_from == open_bundle(old).digest
    assert check_golden(bundle, Runner.of(bundle)).n_images == 2
    assert f"bundle: {out} (sha256 {bundle.digest[:12]})" in words


def test_the_new_bundle_can_be_pushed_beside_the_old_one(made, data, tmp_path, out):
    said(made, data, "--policy", "recall_1", "--out", out)
    store = Store(tmp_path / "store")
    for path in (made, out):
        store.activate(store.add(path).digest)
    assert store.active().digest == open_bundle(out).digest


def test_golden_outcomes_follow_the_threshold_and_their_scores_stay(made, data, out):
    """The bright one scores 0.78."""
    words = said(made, data, "--policy", "fixed", "--at", 0.9, "--review-from", 0.5, "--out", out)
    old, new = (open_bundle(path).manifest.golden for path in (made, out))
    assert [one.outcome for one in old] == ["ok", "ng"]
    assert [one.outcome for one in new] == ["ok", "unknown"]
    assert [(one.file, one.score) for one in old] == [(one.file, one.score) for one in new]
    assert "WARNING: no golden image is ng at this threshold" in words


def test_a_golden_image_on_the_edge_of_the_new_threshold_is_told(made, data):
    edge = open_bundle(made).manifest.golden[1].score
    for options in (["--at", edge], ["--at", 0.9, "--review-from", edge * 0.9995]):
        words = said(made, data, "--policy", "fixed", *options)
        assert "WARNING: golden/spot.png lies within a thousandth of 0.78" in words
        assert "a device that computes a little differently may refuse this bundle" in words
    assert "WARNING" not in said(made, data, "--policy", "fixed", "--at", edge * 0.99)


def test_the_manifest_says_by_what_policy_from_what_and_on_which_images(made, data, out):
    words = said(made, data, "--policy", "recall", "--recall", 0.85, "--confidence", 0.9, "--out", out)
    limit = open_bundle(out).manifest.threshold
    assert limit.ng_at_or_above == pytest.approx(recall_at([score(grey) for grey in SPOTS], 0.85, 0.9), rel=1e-6)
    assert (limit.policy, limit.asked.recall, limit.asked.confidence) == ("recall", 0.85, 0.9)
    assert (limit.n_good, limit.n_defect) == (40, 40)
    assert set(limit.seen) == {sha256_of(path) for path in data.rglob("*.png")}
    caught = 40 - list(SPOTS).index(round(limit.ng_at_or_above * 255))
    assert limit.recall_lower_95 == pytest.approx(lower_bound(caught, 40))
    assert "by recall (recall 0.85 with 90 % confidence), from 40 good and 40 defects" in words
    assert f"recall above {lower_bound(caught, 40):.1%}" in words


def test_recall_really_rejects_so_many_of_the_images_that_were_given(made, data, out):
    said(made, data, "--policy", "recall", "--recall", 0.85, "--out", out)
    measured = json.loads(said_by(["evaluate", str(out), "--data", str(data), "--json"]))
    assert measured["recall_lower_95"] >= 0.85
    assert measured["n_seen_by_threshold"] == 80


def test_false_rejects_really_spares_so_many_of_the_good_parts_that_were_given(made, data, out):
    said(made, data, "--policy", "false_rejects", "--false-rejects", 0.1, "--out", out)
    limit = open_bundle(out).manifest.threshold
    assert limit.ng_at_or_above == pytest.approx(false_rejects_at([score(grey) for grey in GOOD], 0.1), rel=1e-6)
    measured = json.loads(said_by(["evaluate", str(out), "--data", str(data), "--json"]))
    assert measured["false_reject_upper_95"] == limit.false_reject_upper_95 <= 0.1
    assert measured["false_rejects"] == 0


def test_a_review_band_is_written_and_evaluate_says_who_goes_to_a_person(made, data, out):
    words = said(made, data, "--policy", "fixed", "--at", 0.3, "--review-false-rejects", 0.2, "--out", out)
    limit = open_bundle(out).manifest.threshold
    assert (limit.ng_at_or_above, limit.asked.review_false_rejects, limit.asked.confidence) == (0.3, 0.2, 0.95)
    at = limit.review_at_or_above
    runner = Runner.of(open_bundle(out))
    good = [runner.predict(read_image(path)).score for path in sorted((data / "good").iterdir())]
    judged = [judge(one, 0.3, at)[1] for one in good]
    assert upper_bound(judged.count("review"), 40) <= 0.2
    assert judged.count("defect") == 0
    evaluated = said_by(["evaluate", str(out), "--data", str(data)])
    line = f"  review from {at:.4g}: {judged.count('review')} good and "
    assert line in words
    assert line in evaluated
    measured = json.loads(said_by(["evaluate", str(out), "--data", str(data), "--json"]))
    assert measured["review_at_or_above"] == at
    assert measured["n_good_review"] == judged.count("review")
    ng = round(measured["recall"] * 40)
    assert measured["n_defect_ok"] + measured["n_defect_review"] + ng == 40
    marks = [row["marks"] for row in told(out, data)["thresholds"] if row["marks"]]
    assert marks == [["shipped review"], ["shipped"]]


def test_a_bundle_made_from_one_that_was_made_so_names_that_one(made, data, tmp_path, out):
    said(made, data, "--policy", "recall_1", "--out", out)
    said(out, data, "--policy", "fixed", "--at", 0.4, "--out", tmp_path / "third.bundle")
    assert open_bundle(tmp_path / "third.bundle").manifest.made_from == open_bundle(out).digest


def test_a_bundle_from_before_there_was_review_can_be_given_one(made, data, out):
    def age(raw):
        del raw["made_from"], raw["threshold"]["review_at_or_above"], raw["threshold"]["asked"]

    edit(made, age)
    said(made, data, "--policy", "fixed", "--at", 0.4, "--review-from", 0.3, "--out", out)
    assert open_bundle(out).manifest.threshold.review_at_or_above == 0.3
    assert open_bundle(out).manifest.made_from == open_bundle(made).digest


def test_the_json_of_a_new_bundle_says_what_was_written_and_nothing_else_is_printed(made, data, out):
    new = told(made, data, "--policy", "fixed", "--at", 0.4, "--review-from", 0.3, "--out", out)["new"]
    assert new["written"] == {"path": str(out), "bundle": open_bundle(out).digest}
    assert (new["ng_at_or_above"], new["review_at_or_above"], new["policy"]) == (0.4, 0.3, "fixed")
    assert "seen" not in new
    assert new["n_defect_ok"] == sum(score(grey) < 0.3 for grey in SPOTS)


# On a model that was fitted.


def test_a_fitted_bundle_gets_another_threshold_without_another_fit(fitted, out):
    plates = fitted.plates.root
    words = said(fitted.out, plates, "--policy", "recall", "--recall", 0.4, "--out", out)
    assert words.startswith("4 good, 4 defects; ")
    assert "note: the threshold was chosen on 8 of these images" in words
    new = open_bundle(out)
    holes = [Runner.of(new).predict(read_image(path)).score for path in fitted.plates.holes]
    assert new.manifest.threshold.ng_at_or_above == min(holes), "four of four prove 0.47"
    assert new.manifest.training == fitted.bundle.manifest.training
    assert new.manifest.health == fitted.bundle.manifest.health
    assert json.loads(said_by(["evaluate", str(out), "--data", str(plates), "--json"]))["recall"] == 1


def test_four_defects_of_a_fitted_bundle_prove_no_recall_of_half(fitted, out, capsys):
    line = refused(
        arguments_for(fitted.out, fitted.plates.root, "--policy", "recall", "--recall", 0.5, "--out", out),
        FAILED,
        capsys,
    )
    assert "4 defects, all caught, prove a recall of 0.473 with 95 % confidence, 0.5 was wanted; 5 defects" in line
    assert not out.exists()


# The picture.


@pytest.mark.parametrize(("suffix", "begins"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".PDF", b"%PDF")])
def test_the_curve_is_drawn_in_the_format_of_its_name(made, data, tmp_path, suffix, begins):
    plot = tmp_path / f"curve{suffix}"
    words = said(made, data, "--plot", plot, "--policy", "fixed", "--at", 0.3, "--review-from", 0.2)
    assert plot.read_bytes().startswith(begins)
    assert f"plot: {plot}\n" in words


def test_the_picture_shows_both_curves_and_the_threshold(made, data, tmp_path):
    said(made, data, "--plot", tmp_path / "curve.png")
    drawn = read_image(tmp_path / "curve.png").astype(int)
    green, orange = (drawn - colour for colour in ((44, 160, 44), (14, 127, 255)))  # BGR of the two lines
    for one in (green, orange):
        assert (abs(one).sum(axis=2) < 30).sum() > 300
    grey = (abs(drawn - 128).sum(axis=2) < 10).sum(axis=0)
    assert grey.max() > 300, "an upright line at the shipped threshold"


# What is refused. Nothing may be left behind, and the old bundle stays as it is.


def refused(arguments, code, capsys) -> str:
    """argparse leaves with SystemExit; a shell sees no difference."""
    capsys.readouterr()
    try:
        found = main(arguments)
    except SystemExit as ended:
        found = ended.code
    printed = capsys.readouterr()
    assert (found, printed.out) == (code, "")
    assert printed.err.count("\n") == 1
    assert "Traceback" not in printed.err
    return printed.err


@pytest.fixture
def refusal(made, data, out, tmp_path, capsys):
    """What the command says when it fails with `code`."""

    def run(code, *more, bundle=made, data=data) -> str:
        before = {str(path): path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
        line = refused(arguments_for(bundle, data, *more), code, capsys)
        assert {str(path): path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before
        return line

    return run


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--policy", "recall", "--recall=0"], "argument --recall: 0: a share above 0 and below 1 was wanted"),
        (["--policy", "recall", "--recall=1.5"], "argument --recall: 1.5: a share above 0 and below 1"),
        (["--policy", "recall", "--recall=1"], "argument --recall: 1: a share above 0 and below 1"),
        (["--policy", "recall", "--recall=95%"], "argument --recall: 95%: a share above 0 and below 1"),
        (["--policy", "recall", "--recall=nan"], "argument --recall: nan: a share above 0 and below 1"),
        (["--policy", "recall", "--recall=0.9", "--confidence=1"], "argument --confidence: 1: a share above 0"),
        (["--policy", "false_rejects", "--false-rejects=0"], "argument --false-rejects: 0: a share above 0"),
        (["--policy", "recall_1", "--margin=-0.1"], "argument --margin: -0.1: a share of 0 to 1 was wanted"),
        (["--policy", "recall_1", "--margin=1.1"], "argument --margin: 1.1: a share of 0 to 1 was wanted"),
        (["--policy", "fixed", "--at=nan"], "argument --at: nan: a finite number was wanted"),
        (["--policy", "fixed", "--at=inf"], "argument --at: inf: a finite number was wanted"),
        (["--policy", "fixed", "--at=high"], "argument --at: high: a finite number was wanted"),
        (["--policy", "fixed", "--at=0.4", "--review-from=-inf"], "argument --review-from: -inf: a finite number"),
        (["--policy", "fixed", "--at=1", "--review-from=0", "--review-false-rejects=0.1"], "not allowed with argument"),
        (["--policy", "normal_quantile"], "argument --policy: invalid choice: 'normal_quantile'"),
        (["--policy", "recall"], "--policy recall: needs --recall; add it"),
        (["--policy", "false_rejects"], "--policy false_rejects: needs --false-rejects; add it"),
        (["--policy", "fixed"], "--policy fixed: needs --at; add it"),
        (["--policy", "recall_1", "--recall=0.9"], "--recall: does not belong to --policy recall_1; remove it"),
        (["--policy", "fixed", "--at=0.4", "--confidence=0.9"], "--confidence: does not belong to --policy fixed"),
        (["--policy", "recall", "--recall=0.9", "--margin=0.1"], "--margin: does not belong to --policy recall"),
        (["--recall=0.9"], "--recall: needs a --policy (recall_1, recall, false_rejects, fixed); add one or remove it"),
        (["--review-from=0.3"], "--review-from: needs a --policy"),
        (["--policy", "fixed", "--at=0.4", "--review-from=0.4"], "review would start at 0.4, which is not below"),
        (["--policy", "fixed", "--at=0.4", "--review-from=7"], "review would start at 7, which is not below"),
        (["--defects", "cut"], "no defect 'cut'; it has spot"),
        (["--plot", "curve.bmp"], "curve.bmp: a picture ending in .png, .svg, .pdf was wanted; name it so"),
        (["--plot", "none/curve.png"], "none: no such folder for --plot; make it first"),
    ],
)
def test_a_wrong_option(refusal, options, complaint):
    assert complaint in refusal(WRONG_USAGE, *options)


def test_an_out_without_a_policy(refusal, out):
    assert "--out: needs a --policy (recall_1, recall, false_rejects, fixed)" in refusal(WRONG_USAGE, "--out", out)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (
            ["recall", "--recall", 0.95],
            "40 defects, all caught, prove a recall of 0.928 with 95 % confidence, 0.95 was ",
        ),
        (
            ["recall", "--recall", 0.95],
            "; 59 defects, all caught, would prove it: add images of defects or ask for less",
        ),
        (
            ["false_rejects", "--false-rejects", 0.01],
            "; 299 good images, none rejected, would prove it: add good images",
        ),
        (["fixed", "--at", 0.4, "--review-false-rejects", 0.01], "; 299 good images, none rejected, would prove it"),
    ],
)
def test_what_the_images_do_not_prove_is_refused_with_how_many_would(refusal, out, options, complaint):
    assert complaint in refusal(FAILED, "--policy", *options, "--out", out)


def test_an_out_that_exists(refusal, made, out, tmp_path):
    out.mkdir()
    assert "new.bundle: exists already; choose another --out" in refusal(
        WRONG_USAGE, "--policy", "recall_1", "--out", out
    )
    out.rmdir()
    out.symlink_to(tmp_path / "nowhere")
    assert "exists already" in refusal(WRONG_USAGE, "--policy", "recall_1", "--out", out)


@pytest.mark.parametrize("name", [".", "new.bundle", "golden/new"])
def test_an_out_that_is_the_bundle_or_lies_in_it_by_whatever_way(refusal, made, tmp_path, name):
    (tmp_path / "link").symlink_to(made)
    for folder in (made, tmp_path / "link"):
        line = refusal(WRONG_USAGE, "--policy", "recall_1", "--out", folder / name)
        assert f"in {made}; a bundle stays as it is: name another place" in line


def test_a_picture_in_the_bundle_would_spoil_it(refusal, made):
    assert "--plot" in refusal(WRONG_USAGE, "--plot", made / "curve.png")
    assert open_bundle(made)


def test_a_picture_that_exists(refusal, data):
    assert "030.png: exists already; choose another --plot" in refusal(WRONG_USAGE, "--plot", data / "good/030.png")


def test_a_folder_for_out_that_is_not_there(refusal, tmp_path):
    assert "none: no such folder for --out" in refusal(
        WRONG_USAGE, "--policy", "recall_1", "--out", tmp_path / "none/b"
    )


@pytest.mark.parametrize("name", [MODEL_BIN, MODEL_XML, "golden/spot.png"])
def test_a_damaged_bundle(refusal, made, out, name):
    flip(made / name)
    line = refusal(FAILED, "--policy", "fixed", "--at", 0.4, "--out", out)
    assert f"{name}: sha256 " in line
    assert "push the bundle again" in line


def test_a_bundle_that_is_none(refusal, tmp_path):
    assert "none: nothing there, a bundle folder was wanted" in refusal(FAILED, bundle=tmp_path / "none")


@pytest.mark.parametrize(("gone", "found"), [("spot", "40 good images and 0 kinds"), ("good", "defects only (spot)")])
def test_without_defects_or_without_good_parts(refusal, data, tmp_path, gone, found):
    less = Path(shutil.copytree(data, tmp_path / "less"))
    shutil.rmtree(less / gone)
    for options in ([], ["--policy", "recall", "--recall", 0.5], ["--policy", "false_rejects", "--false-rejects", 0.5]):
        assert found in refusal(FAILED, *options, data=less)


def test_a_score_that_is_no_number(refusal, data, tmp_path):
    broken = tiny.make_bundle(tmp_path / "nan.bundle", nan=True)
    more = Path(shutil.copytree(data, tmp_path / "more"))
    picture(more / "spot/white.png", tiny.WHITE)
    line = refusal(FAILED, "--policy", "fixed", "--at", 0.4, bundle=broken, data=more)
    assert "white.png: score nan; the model is broken" in line


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("trainer.export.check_golden", ModelError("golden: another score")),
        ("trainer.export.shutil.copyfile", OSError(errno.ENOSPC, "No space left on device", "model.bin")),
        ("trainer.rethreshold.write_rethresholded", KeyboardInterrupt()),
        ("models.files.sync", OSError(errno.ENOSPC, "No space left on device", "manifest.json")),
        ("trainer.rethreshold.draw_tradeoff", OSError(errno.ENOSPC, "No space left on device", "curve.png")),
    ],
)
def test_a_failure_on_the_way_leaves_neither_bundle_nor_picture(  # noqa: PLR0917
    refusal, out, tmp_path, monkeypatch, place, error
):
    monkeypatch.setattr(place, Mock(side_effect=error))
    refusal(FAILED, "--policy", "fixed", "--at", 0.4, "--out", out, "--plot", tmp_path / "curve.png")


def test_a_bundle_that_is_damaged_while_it_is_copied_is_not_passed_on(refusal, out, monkeypatch):
    copy = shutil.copyfile

    def spoil(source, target):
        copy(source, target)
        if target.name == MODEL_BIN:
            flip(target)

    monkeypatch.setattr("trainer.export.shutil.copyfile", spoil)
    assert "model.bin: sha256" in refusal(FAILED, "--policy", "fixed", "--at", 0.4, "--out", out)


@pytest.mark.parametrize("at", [-1, 0, 1e-300, 1e300])
def test_a_persons_own_number_may_be_any(made, data, out, at):
    said(made, data, "--policy", "fixed", "--at", at, "--out", out)
    limit = open_bundle(out).manifest.threshold
    assert limit.ng_at_or_above == at
    assert limit.recall_lower_95 == (0 if at > 1 else pytest.approx(lower_bound(40, 40)))
    assert math.isfinite(limit.false_reject_upper_95)
