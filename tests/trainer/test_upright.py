"""What parts share is learned from a few good images, and where they share nothing frames are looked at as they are."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.bundle import open_bundle
from models.errors import DatasetError
from models.images import read_image
from models.manifest import HeatmapDecoder
from models.runner import Runner
from models.scoring import judge
from models.upright import UPRIGHT, Place, edges_of, save_upright, seen_at
from tests import keys
from tests.keys import BRIGHT, SIDE_PX, key
from tests.tiny import write_image
from tests.trainer.conftest import Fitted, fit_arguments, refusal_of, said_by
from trainer.anomaly.model import Learned as LearnedModel
from trainer.anomaly.model import no_more
from trainer.augment import turned
from trainer.dataset import scan
from trainer.evaluate import NO_PART, Scored, evaluate, found_in, in_words, score_images
from trainer.fit import _judge
from trainer.golden import golden_images, unseen_by
from trainer.good import Good, Judged
from trainer.looks import Looks, choose_looks
from trainer.proof import put_threshold
from trainer.reading import UPRIGHT as UPRIGHT_READING
from trainer.reading import UPRIGHT_FINE_ALONE, Reading, evened, smoothed, upright_reading
from trainer.search import freeze_bias, with_search
from trainer.upright import Learned, _alike, _range_of, _turns_of, learn_upright

N_GOOD = 6
DARK = 20


@pytest.fixture(scope="module")
def images():
    return keys.anyhow(N_GOOD)


@pytest.fixture(scope="module")
def learned(images) -> Learned:
    found = learn_upright(images)
    assert isinstance(found, Learned)
    return found


def silent(_words: str) -> None:
    pass


# ---- what is learned


def test_keys_are_learned_to_be_laid_upright_and_unseen_ones_then_lie_alike(learned):
    upright = learned.upright()
    height, width = learned.mask.shape
    assert 140 < width < 190
    assert 60 < height < 95
    lying = keys.poses(6, seed=20)
    views = [upright.view(key(*one, seed=50 + number)) for number, one in enumerate(lying)]
    assert [view.lost for view in views] == [None] * 6
    middles, turns = [], []
    for view, one in zip(views, lying, strict=True):
        back = np.linalg.inv(keys.to_frame(*one)) @ np.vstack([view.to_frame, [0, 0, 1]])
        middles.append((back @ [width / 2, height / 2, 1])[:2])
        turns.append(np.arctan2(back[1, 0], back[0, 0]))
    assert np.ptp(np.unwrap(turns)) < np.deg2rad(2)
    assert np.hypot(*(np.array(middles) - np.mean(middles, axis=0)).T).max() < 0.015 * SIDE_PX


def test_the_mask_is_the_key_and_nothing_beside_it(learned):
    upright = learned.upright()
    metal = upright.view(key(33), alone=False).image.min(axis=2) > 120
    assert metal[learned.mask > 0].mean() > 0.75  # some pixels around it belong to it, and its hole
    assert metal[learned.mask == 0].mean() < 0.03


def test_a_key_has_one_way_round_and_few_views_are_needed(learned):
    assert learned.turns_deg == (0.0,)
    assert learned.pose.turns_deg == (-180, 180)
    assert learned.plan(20, 0.1).angles_deg == (0.0, 1.5, 358.5)
    assert learned.plan(1000, 0.1).angles_deg == (0.0,)
    assert 0.3 < learned.pose.least_match < 0.6


def test_the_same_images_give_the_same_file(images, learned, tmp_path):
    again = learn_upright(images)
    assert again.pose == learned.pose
    for name, one in (("a.npz", learned), ("b.npz", again)):
        save_upright(tmp_path / name, one.template, one.mask)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def drawn_template(draw):
    image = np.full((SIDE_PX, SIDE_PX, 3), 60, np.uint8)
    draw(image)
    field = edges_of(image)
    return seen_at(field, Place(1, 0, 1, 0j), (90, 90))


def bar(image):
    cv2.rectangle(image, (60, 112), (196, 144), (190,) * 3, -1)


def cross(image):
    bar(image)
    cv2.rectangle(image, (112, 60), (144, 196), (190,) * 3, -1)


def ring(image):
    cv2.circle(image, (128, 128), 60, (190,) * 3, 20, cv2.LINE_AA)


def test_a_part_that_looks_the_same_from_other_sides_is_learned_from_these_sides_too():
    assert _alike(drawn_template(bar)) == (0.0, 180.0)
    assert _alike(drawn_template(cross)) == (0.0, 90.0, 180.0, 270.0)
    assert _alike(drawn_template(ring)) == tuple(30.0 * turn for turn in range(12))


def test_a_part_with_one_way_round_is_learned_from_one():
    assert _alike(keys.template()[0]) == (0.0,)


def places(*turns_deg):
    return [Place(0.7, float(np.deg2rad(turn)), 1.0, 0j) for turn in turns_deg]


def sized(*sizes):
    return [Place(0.7, 0.0, float(size), 0j) for size in sizes]


def test_the_turns_to_look_for_are_those_that_were_seen_with_room_also_across_180_degrees():
    assert _turns_of(places(-5, 5)) == (-15.0, 15.0)
    assert _turns_of(places(175, -175)) == pytest.approx((165, 195))
    assert _turns_of(places(0, 90, 180, 270)) == (-180.0, 180.0)


def test_one_size_is_looked_for_where_parts_have_one_and_a_range_where_they_differ():
    low, high = _range_of(sized(1.0, 1.01, 0.99, 1.0))
    assert low == high == 1.0
    low, high = _range_of(sized(*np.linspace(0.9, 1.1, 20)))
    assert low < 0.9
    assert high > 1.1


def test_a_part_of_an_odd_size_was_found_wrong_and_does_not_widen_what_is_looked_for():
    assert _range_of(sized(*[1.0] * 10, 1.3)) == (1.0, 1.0)


# ---- where it cannot be


@pytest.fixture(scope="module")
def strangers():
    """Four pictures that share nothing: blobs of noise."""
    made = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        blobs = cv2.GaussianBlur(rng.integers(0, 256, (200, 200), np.uint8), (0, 0), 4).astype(float)
        made.append(np.repeat(np.clip(128 + 12 * (blobs - blobs.mean()), 0, 255).astype(np.uint8)[:, :, None], 3, 2))
    return made


def test_images_that_share_nothing_are_looked_at_as_they_are(strangers):
    said: list[str] = []
    looks = choose_looks(strangers, "auto", "auto", said.append)
    assert looks.pose is looks.mask is looks.upright is None
    assert looks.see(strangers[0]) is strangers[0]
    assert looks.finds(strangers[0])
    assert "frames are looked at as they are (" in said[0]


def test_upright_on_where_parts_cannot_be_laid_upright_is_refused_with_what_to_do(strangers):
    with pytest.raises(DatasetError, match=r"--upright on: parts cannot be laid upright: .*; add images, or leave"):
        choose_looks(strangers, "on", "auto", silent)
    with pytest.raises(DatasetError, match="fewer than 4 good images"):
        choose_looks(strangers[:3], "on", "auto", silent)


def test_images_of_several_shapes_are_looked_at_as_they_are(images):
    assert learn_upright([*images[:3], key(5, shape=(200, 256))]) == "the images are of several shapes"


def test_blank_images_show_no_part():
    assert isinstance(learn_upright([np.zeros((64, 64, 3), np.uint8)] * 2), str)


def test_parts_that_lie_alike_are_looked_at_as_they_are_unless_it_is_asked_for(images):
    still, said = [key(0, seed=seed) for seed in range(4)], []
    assert choose_looks(still, "auto", "auto", said.append).upright is None
    assert "frames are looked at as they are (parts lie alike)" in said[0]
    looks = choose_looks(still, "on", "off", said.append)
    assert looks.pose.turns_deg[1] - looks.pose.turns_deg[0] < 30
    assert looks.plan.angles_deg == (0.0,)
    assert "laid upright" in said[1]
    assert "(--upright on), 1 view(s) of each (--augment off)" in said[1]
    assert choose_looks(images, "off", "auto", said.append).upright is None
    assert "frames are looked at as they are (--upright off)" in said[2]


# ---- what counts


@pytest.fixture(scope="module")
def half() -> Reading:
    """Of a map of 6 x 10 the right half is beside the part."""
    mask = np.zeros((60, 100), np.uint8)
    mask[:, :50] = 1
    return upright_reading(("layer2", "layer3"), mask, 6, 10)


def test_patches_beside_the_part_do_not_count(half):
    assert half.weight.shape == (6, 10)
    assert half.weight[:, :5].all()
    assert not half.weight[:, 5:].any()
    assert (half.share, half.sigma) == (UPRIGHT_READING.share, UPRIGHT_READING.sigma)
    assert upright_reading(("layer2",), np.ones((9, 9), np.uint8), 3, 3).sigma == UPRIGHT_FINE_ALONE.sigma


def test_of_a_part_thinner_than_patches_some_count_as_a_map_of_zeros_would_pass_every_part():
    mask = np.zeros((120, 120), np.uint8)
    mask[::10] = 1  # a tenth of each patch
    assert upright_reading(("layer2", "layer3"), mask, 6, 6).weight.sum() == 36


def test_a_patch_counts_by_what_good_parts_usually_are_at_its_place(half):
    distances = np.ones((3, 6, 10), np.float32)
    distances[:, :, :2] = 2  # as a thread
    even = evened(half, distances)
    assert even.weight[:, 0] == pytest.approx(even.weight[0, 0])
    assert (even.weight[:, 4] > 1.2 * even.weight[:, 0]).all()
    assert not even.weight[:, 5:].any()
    assert (even.share, even.sigma) == (half.share, half.sigma)


def test_no_place_counts_for_everything_or_nothing_where_good_parts_are_all_alike(half):
    distances = np.zeros((3, 6, 10), np.float32)
    distances[:, 0, 0] = 9
    assert np.isfinite(evened(half, distances).weight).all()
    assert 0 < evened(half, distances).weight[:, :5].min() <= evened(half, distances).weight.max() <= 3
    assert evened(replace(half, weight=None), distances).weight is None


def vectors_graph():
    import openvino as ov
    from openvino import opset13 as op

    frame = op.parameter([1, 4, 6, 10], np.float32, name="frame")
    frame.output(0).set_names({"frame"})
    bank = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    return ov.Model([op.negative(frame)], [frame], "vectors"), bank


def run(graph, vectors):
    import openvino as ov

    return ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([vectors])[0]


@pytest.mark.parametrize("sigma", [0, 0.7])
def test_torch_and_the_graph_weigh_the_same(torch, half, sigma):
    reading = replace(half, sigma=sigma)
    graph, bank = vectors_graph()
    vectors = np.random.default_rng(1).normal(size=(1, 4, 6, 10)).astype(np.float32)
    found = run(freeze_bias(with_search(graph, bank, reading), bank), vectors)[0, 0]
    apart = -vectors[0].reshape(4, -1).T[:, None] - bank[None]
    want = smoothed(torch.from_numpy(np.sqrt((apart**2).sum(2)).min(1).reshape(6, 10)), reading).numpy()
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)
    assert (found[:, 8:] == 0).all()  # beyond the reach of the Gaussian
    assert (found[:, :5] > 0).all()


@pytest.mark.parametrize("sigma", [0, 0.7])
@pytest.mark.parametrize("column", [1, 8], ids=["on the part", "beside it"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_stays_none_under_the_weights_also_where_they_are_nought(half, sigma, column, value):
    graph, bank = vectors_graph()
    vectors = np.zeros((1, 4, 6, 10), np.float32)
    vectors[0, 2, 3, column] = value
    found = run(freeze_bias(with_search(graph, bank, replace(half, sigma=sigma)), bank), vectors)[0, 0]
    assert not np.isfinite(found[3, column])


# ---- pictures in which there is no part


@pytest.fixture(scope="module")
def finding(tmp_path_factory):
    """A bundle without a network that looks for keys."""
    return open_bundle(keys.make_bundle(tmp_path_factory.mktemp("finding") / "keys.bundle"))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Keys as they fall; among those to test are an empty table and a washer with a mark."""
    root = tmp_path_factory.mktemp("data")
    for number, lying in enumerate(keys.poses(N_GOOD)):
        write_image(root / f"train/good/{number}.png", key(*lying, seed=number))
    for number, lying in enumerate(keys.poses(3, seed=30)):
        write_image(root / f"test/good/{number}.png", key(*lying, seed=60 + number))
        write_image(root / f"test/mark/{number}.png", key(*lying, seed=70 + number, mark=BRIGHT))
    write_image(root / "test/good/9.png", keys.empty())
    write_image(root / "test/mark/9.png", keys.washer())
    return root


@pytest.fixture(scope="module")
def scored(finding, data) -> list[Scored]:
    dataset = scan(data)
    labelled = [("good", path) for path in dataset.test_good] + [("mark", path) for path in dataset.defects["mark"]]
    return score_images(Runner.of(finding), labelled, "score")


def test_evaluate_counts_pictures_without_a_part_as_rejected_and_says_so(finding, data):
    found = evaluate(finding, scan(data))
    assert found["n_not_found"] == 2
    assert (found["false_rejects"], found["n_good"]) == (1, 4)
    assert (found["recall"], found["n_defect"], found["n_defect_ok"]) == (1, 4, 0)
    assert found["roc_auc"] == pytest.approx((3 * 4 + 0.5) / 16)
    assert "note: in 2 image(s) no part was found; they count as rejected" in in_words(found)
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("policy", ["auto", "recall_1", "normal_quantile"])
def test_pictures_without_a_part_do_not_move_the_threshold(scored, policy):
    assert sum(item.score == NO_PART for item in scored) == 2
    found = found_in(scored)
    assert len(found) == 6
    limit = put_threshold(policy, [0.74, 0.75], scored)
    assert limit == put_threshold(policy, [0.74, 0.75], found)
    assert limit.ng_at_or_above < 1


def test_where_in_no_defect_a_part_is_found_the_threshold_rests_on_good_parts_alone(scored):
    lost = [item for item in scored if item.label == "good" or item.prediction.lost]
    limit = put_threshold("auto", [0.74, 0.75], lost)
    assert (limit.policy, limit.n_defect) == ("normal_quantile", 0)
    assert limit.ng_at_or_above < 1
    with pytest.raises(DatasetError, match="--policy recall_1 needs images of defects in which a part is found"):
        put_threshold("recall_1", [0.74, 0.75], lost)


def test_without_any_score_of_a_good_part_there_is_no_threshold(scored):
    lost = [item for item in scored if item.prediction.lost]
    with pytest.raises(DatasetError, match="in no good image that was not learned from a part was found"):
        put_threshold("auto", [], lost)


def test_a_good_image_kept_aside_in_which_no_part_is_found_does_not_move_the_threshold(finding, data):
    dataset, said = scan(data), []
    paths = [*dataset.train_good, *dataset.test_good]  # the last one is the empty table
    good = Good(paths, [read_image(path) for path in paths], tuple(range(4, len(paths))))
    model = LearnedModel(None, HeatmapDecoder(kind="heatmap", top_cells=1), [], float, no_more)
    judged = _judge(Runner.of(finding), good, model, dataset, said.append)
    assert len(judged.held_out) == len(judged.aside) == len(good.aside) - 1
    assert max(judged.held_out) < 1
    assert said == ["note: in 3 image(s) no part was found; the line says `unknown` to these, at any threshold"]


def looks_of(learned: Learned) -> Looks:
    return Looks(learned.plan(N_GOOD, 0.1), learned, learned.upright())


def test_golden_images_show_a_part_and_the_defaced_one_is_defaced_on_it(learned, scored, data):
    paths = scan(data).train_good
    away = [key(0, (-50, 40)), key(170, (45, 45))]  # nothing of the key lies in the middle of the frame
    golden = golden_images(Good(paths, away, ()), Judged([], [], scored), looks_of(learned), silent)
    assert set(golden) == {"good", "defect", "defaced"}
    assert all(looks_of(learned).finds(image) for image in golden.values())
    changed = (golden["defaced"] != away[0]).any(axis=2)
    metal = away[0].min(axis=2) > 120
    assert metal[changed].mean() > 0.3
    assert not changed[128, 128]


def test_a_bundle_without_a_golden_image_is_not_made(learned, scored):
    nothing = [keys.empty(seed) for seed in range(2)]
    lost = [item for item in scored if item.prediction.lost]
    with pytest.raises(DatasetError, match="in no image that a golden one could be made of a part was found"):
        golden_images(Good([], nothing, ()), Judged([], [], lost), looks_of(learned), silent)


# ---- through the command


@pytest.fixture(scope="module")
def made(data, weights, tmp_path_factory) -> Fitted:
    """A real fit, of keys with a dark mark."""
    out = tmp_path_factory.mktemp("made") / "keys.bundle"
    root = out.parent / "data"
    shutil.copytree(data, root)
    for path in sorted((root / "test/mark").iterdir())[:3]:
        write_image(path, key(*keys.poses(3, seed=31)[int(path.stem)], seed=80, mark=DARK))
    return Fitted(out, said_by(fit_arguments(root, out, "--weights", weights)), None, weights)


def test_a_fit_finds_keys_and_says_so(made):
    manifest = made.bundle.manifest
    assert manifest.pose.file == UPRIGHT
    assert UPRIGHT in manifest.files
    assert manifest.training.augmentation.angles_deg == (0.0, 1.5, 358.5)
    assert "-> they are found and laid upright, " in made.said
    assert "(--upright auto), 3 view(s) of each (--augment auto); what lies beside a part is not looked at" in made.said
    assert "note: in 2 image(s) no part was found; the line says `unknown` to these, at any threshold\n" in made.said
    assert manifest.threshold.n_good == N_GOOD + 3
    assert manifest.threshold.n_defect == 3
    assert [one.outcome for one in manifest.golden] == ["ok", "ng", "ng"]


def test_what_was_fitted_judges_unseen_keys_however_they_lie_and_nothing_else(made):
    runner, limit = Runner.of(made.bundle), made.bundle.manifest.threshold.ng_at_or_above
    lying = keys.poses(5, seed=40)
    good, bad = ([runner.predict(key(*one, seed=90, mark=mark)).score for one in lying] for mark in (None, DARK))
    assert all(judge(score, limit)[0] == "ng" for score in bad)
    assert sum(judge(score, limit)[0] == "ok" for score in good) >= 4
    for frame in (keys.empty(), keys.washer(), key(0, (95, 0), mark=DARK)):
        assert judge(runner.predict(frame).score, limit)[0] == "unknown"


def test_the_report_shows_pictures_without_a_part_as_unknown(made):
    names = {path.name for path in made.report.iterdir()}
    assert {"good_9.jpg", "mark_9.jpg", "histogram.png"} <= names


def test_another_threshold_keeps_the_template_and_leaves_out_what_has_no_part(made):
    out, data = made.out.with_name("careful.bundle"), made.out.parent / "data"
    arguments = ["threshold", str(made.out), "--data", str(data), "--policy", "recall_1", "--out", str(out)]
    said = said_by(arguments)
    new = open_bundle(out)
    assert (new.path / UPRIGHT).read_bytes() == (made.out / UPRIGHT).read_bytes()
    assert new.manifest.pose == made.bundle.manifest.pose
    assert "note: 2 image(s) left out, as no part was found; they are unknown at any threshold\n" in said
    assert "3 good, 3 defects;" in said
    assert new.manifest.threshold.ng_at_or_above < 2 * made.bundle.manifest.threshold.ng_at_or_above


def test_a_threshold_from_pictures_without_a_part_is_refused(made, tmp_path):
    for number in range(2):
        write_image(tmp_path / f"data/good/{number}.png", key(40, seed=100 + number))
        write_image(tmp_path / f"data/mark/{number}.png", keys.washer(number))
    arguments = ["threshold", str(made.out), "--data", str(tmp_path / "data"), "--policy", "recall_1"]
    said = refusal_of([*arguments, "--out", str(tmp_path / "new.bundle")], 1)
    assert "a part was found in 2 good images and 0 of defects; both are needed to measure" in said
    assert not (tmp_path / "new.bundle").exists()


def test_parts_that_stand_for_unseen_ones_lie_otherwise_than_those_that_were_learned_from(learned, images):
    looks = looks_of(learned)
    shown = unseen_by(Good([], images, ()), Judged([], [], []), looks, 3)
    assert len(shown) == 3
    for frame, image in zip(images, shown, strict=False):
        seen = looks.see(frame)
        laid_back = looks.see(turned(frame, 7.5))  # a part that was turned before it was laid upright
        apart, nearly = (np.abs(other.astype(float) - seen).mean() for other in (image, laid_back))
        assert apart > 2 * nearly
