"""A bundle that lays parts upright, through the runner that the edge has: doubt never comes out as ok."""

import json
import math
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from models.bundle import MANIFEST, Bundle, open_bundle
from models.errors import BundleError, ModelError
from models.files import sha256_of
from models.golden import check_golden
from models.manifest import HeatmapDecoder, parse_manifest
from models.regions import regions_of
from models.runner import Runner
from models.scoring import judge
from models.upright import UPRIGHT
from tests import keys, tiny
from tests.keys import BRIGHT, MARK, THRESHOLD, VIEW_PX, key
from tests.models.test_bundle import edit

LYING = keys.poses(6, seed=4)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Bundle:
    return open_bundle(keys.make_bundle(tmp_path_factory.mktemp("keys") / "keys.bundle"))


@pytest.fixture(scope="module")
def runner(bundle) -> Runner:
    return Runner.of(bundle)


@pytest.fixture
def spare(bundle, tmp_path) -> Path:
    return Path(shutil.copytree(bundle.path, tmp_path / "spare.bundle"))


@pytest.mark.parametrize("lying", LYING)
def test_a_good_key_is_ok_and_a_marked_one_is_ng_with_its_region_on_the_mark_however_it_lies(runner, lying):
    good, bad = (runner.predict(key(*lying, seed=8, mark=mark)) for mark in (None, BRIGHT))
    assert good.lost is bad.lost is None
    assert judge(good.score, THRESHOLD) == ("ok", None)
    assert judge(bad.score, THRESHOLD) == ("ng", "defect")
    (region,) = regions_of(bad, THRESHOLD)
    x, y = (keys.to_frame(*lying) @ [*MARK, 1])[:2]
    assert region.x_px - 12 < x < region.x_px + region.width_px + 12
    assert region.y_px - 12 < y < region.y_px + region.height_px + 12
    assert max(region.width_px, region.height_px) < 70
    assert good.find_s > 0
    assert (bad.frame_height_px, bad.frame_width_px) == (keys.SIDE_PX, keys.SIDE_PX)


@pytest.mark.parametrize(
    "frame", [keys.empty(), keys.washer(), key(0, (90, 0))], ids=["empty", "another part", "half beyond the frame"]
)
def test_without_a_whole_part_the_score_is_no_number_and_nothing_judges_it_ok(runner, frame):
    found = runner.predict(frame)
    assert found.lost is not None
    assert math.isnan(found.score)
    assert judge(found.score, THRESHOLD)[0] == "unknown"


def test_what_lies_beside_the_part_or_beyond_the_frame_does_not_count(runner):
    lamp = key(20, seed=1)
    lamp[:30, :30] = 255
    assert runner.predict(lamp).score == pytest.approx(runner.predict(key(20, seed=1)).score, abs=0.01)
    away = runner.predict(key(0, (58, 0)))
    assert away.lost is None
    assert judge(away.score, THRESHOLD)[0] == "ok"


def test_a_model_without_a_pose_looks_at_the_frame_and_takes_no_time_to_find_anything(tmp_path):
    found = Runner.of(open_bundle(tiny.make_bundle(tmp_path / "b"))).predict(tiny.frame())
    assert (found.find_s, found.lost) == (0, None)


@pytest.mark.parametrize("shift_px", [(0, 0), (58, 0)], ids=["in the frame", "partly beyond it"])
def test_a_nan_of_the_network_stays_one_on_its_way_through_the_view(tmp_path, shift_px):
    runner = Runner.of(open_bundle(keys.make_bundle(tmp_path / "b", nan=True)))
    found = runner.predict(key(0, shift_px, mark=BRIGHT))
    assert found.lost is None
    assert math.isnan(found.score)
    assert judge(found.score, THRESHOLD) == ("unknown", "not_finite")


def test_a_nan_of_a_cell_that_lies_beyond_the_frame_is_not_made_a_zero(runner):
    frame = key(0, (58, 0))
    view = runner._upright.view(frame)
    heat = np.zeros((1, 1, 8, 8), np.float32)
    heat[..., -1] = np.nan
    assert not view.in_frame(8, 8, frame)[:, -1].any()
    assert math.isnan(runner._laid(view, [heat], frame).score)


def test_numbers_that_are_no_map_are_refused_and_do_not_end_the_lane(bundle):
    runner = Runner.of(bundle)
    runner._decoder = HeatmapDecoder(kind="heatmap", top_cells=1)
    frame = key()
    with pytest.raises(ModelError, match=r"heatmap: \(8, 8\), wanted"):
        runner._laid(runner._upright.view(frame), [np.zeros((8, 8), np.float32)], frame)


def test_views_that_are_upright_already_score_as_their_frames(runner):
    frame = key(99, (4, 4), mark=BRIGHT)
    view = runner._upright.view(frame)
    assert runner.for_views().predict(view.image).score == runner.predict(frame).score
    assert runner.predict(frame).find_s > 0, "the runner itself still finds parts"


def test_warm_up_compiles_for_the_view_whatever_the_size_of_the_camera(bundle):
    runner = Runner.of(bundle)
    for size in ((64, 64), (480, 640), (1, 1)):
        runner.warm_up(*size)
        assert runner.wanted_requests(*size) >= 1
    assert list(runner._compiled.models) == [VIEW_PX]


def test_twins_in_threads_say_the_same(runner):
    frames = [key(*lying, seed=6, mark=mark) for lying in LYING[:3] for mark in (None, BRIGHT)]
    alone = [runner.predict(frame).score for frame in frames]
    found: list[list[float]] = []

    def work() -> None:
        twin = runner.twin()
        found.append([twin.predict(frame).score for frame in frames])

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [alone] * 3


def test_its_golden_images_agree(bundle, runner):
    assert [one.outcome for one in bundle.manifest.golden] == ["ok", "ng"]
    assert check_golden(bundle, runner).max_relative == 0


@pytest.mark.parametrize("outcome", ["ok", "ng", "unknown"])
def test_a_golden_image_without_a_part_is_refused_whatever_the_manifest_says_of_it(spare, outcome):
    tiny.write_image(spare / "golden/dark.png", keys.empty())

    def change(raw: dict) -> None:
        name = "golden/dark.png"
        raw["files"][name] = {"sha256": sha256_of(spare / name), "bytes": (spare / name).stat().st_size}
        raw["golden"][0]["outcome"] = outcome

    edit(spare, change)
    bundle = open_bundle(spare)
    with pytest.raises(ModelError, match="do not use this bundle on this device"):
        check_golden(bundle, Runner.of(bundle))


# ---- the bundle's own file and what the manifest may say


def test_a_bundle_that_lacks_the_file_of_its_pose_is_refused(spare):
    (spare / UPRIGHT).unlink()
    with pytest.raises(BundleError, match=f"{UPRIGHT}: missing, the manifest names it"):
        open_bundle(spare)
    edit(spare, lambda raw: raw["files"].pop(UPRIGHT))
    with pytest.raises(BundleError, match=f"names no {UPRIGHT}; make the bundle again"):
        open_bundle(spare)


def test_a_file_that_was_changed_is_refused_by_its_hash_and_one_that_is_no_template_by_its_content(spare):
    (spare / UPRIGHT).write_bytes(b"no template")
    with pytest.raises(BundleError, match=UPRIGHT):
        open_bundle(spare)
    entry = {"sha256": sha256_of(spare / UPRIGHT), "bytes": (spare / UPRIGHT).stat().st_size}
    edit(spare, lambda raw: raw["files"].update({UPRIGHT: entry}))
    bundle = open_bundle(spare)
    with pytest.raises(BundleError, match="no template of a part"):
        Runner.of(bundle)


def test_a_template_that_the_manifest_does_not_speak_of_is_refused_and_so_is_one_nobody_asked_for(spare):
    edit(spare, lambda raw: raw["files"].pop(UPRIGHT) and raw.update(pose=None))
    with pytest.raises(BundleError, match=f"{UPRIGHT}: the manifest does not name it"):
        open_bundle(spare)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"sizes": [1.1, 0.9]}, "sizes from 1.1 to 0.9"),
        ({"sizes": [0.1, 1.0]}, "sizes"),
        ({"sizes": [1.0, 5.0]}, "sizes"),
        ({"turns_deg": [20, -20]}, "turns_deg from 20"),
        ({"turns_deg": [-200, 200]}, "turns_deg from -200"),
        ({"least_match": 0}, "least_match"),
        ({"least_match": -1}, "least_match"),
        ({"least_match": 1.5}, "least_match"),
        ({"file": "../up.npz"}, "file"),
        ({"file": "/etc/passwd"}, "file"),
        ({"depth": 3}, "depth"),
    ],
    ids=str,
)
def test_a_pose_that_would_find_anything_or_nothing_is_refused(bundle, changed, why):
    raw = json.loads((bundle.path / MANIFEST).read_bytes())
    raw["pose"] |= changed
    with pytest.raises(BundleError, match=why):
        parse_manifest(json.dumps(raw).encode(), "m")


def test_a_pose_is_for_heatmaps_alone(bundle, tmp_path):
    boxes = tiny.make_boxes_bundle(tmp_path / "boxes")
    edit(boxes, lambda raw: raw.update(pose=keys.pose().model_dump(mode="json")))
    with pytest.raises(BundleError, match="a pose with a decoder of boxes, one of heatmaps was wanted"):
        parse_manifest((boxes / MANIFEST).read_bytes(), "m")
    raw = json.loads((bundle.path / MANIFEST).read_bytes())
    raw["decoder"] = {"kind": "label", "labels": ["good", "bad"]}
    with pytest.raises(BundleError, match=r"a decoder of LabelDecoder|a pose with a decoder of label"):
        parse_manifest(json.dumps(raw).encode(), "m")


def test_a_manifest_from_before_there_was_a_pose_is_read(tmp_path):
    old = tiny.make_bundle(tmp_path / "old")
    edit(old, lambda raw: raw.pop("pose"))
    assert open_bundle(old).manifest.pose is None
