"""One runner for every family: what it reads of a graph follows from the decoder."""

import math
import threading

import numpy as np
import pytest

from models.bundle import MODEL_XML, open_bundle
from models.decoding import decode, outputs_of
from models.errors import ModelError
from models.runner import Runner
from models.scoring import judge
from tests import tiny


@pytest.fixture(scope="module")
def detector(tmp_path_factory) -> Runner:
    return Runner.of(open_bundle(tiny.make_boxes_bundle(tmp_path_factory.mktemp("detector") / "b", nan=True)))


@pytest.mark.parametrize("size", [(64, 64), (1, 1), (480, 640), (63, 65), (120, 40)])
def test_a_detector_gives_the_box_of_the_bright_quarter_in_pixels_of_the_frame(detector, size):
    found = detector.predict(tiny.frame(tiny.NG, *size))
    if size == (1, 1):  # half a pixel is none
        assert (found.score, found.boxes.labels) == (0.0, ())
        return
    assert found.heatmap is None
    assert (found.frame_height_px, found.frame_width_px) == size
    assert found.boxes.labels == ("spot",)
    height_px, width_px = size
    # To the nearest of 8 x 8 patches, and one more where the edge is blurred into it.
    np.testing.assert_allclose(found.boxes.xyxy_px[0, :2], 0)
    wanted = np.array([width_px, height_px]) / 2
    over = found.boxes.xyxy_px[0, 2:] - wanted
    assert (over > -1e-3).all()
    assert (over < wanted / 4 + 1e-3).all()
    assert found.score == float(found.boxes.scores[0]) == pytest.approx(200 / 255, rel=1e-3)
    assert found.decode_s > 0


def test_the_number_of_boxes_may_differ_from_frame_to_frame(detector):
    patches = [tiny.NG, tiny.OK, 100, tiny.OK, tiny.NG]
    found = [detector.predict(tiny.frame(patch)) for patch in patches]
    assert [len(one.boxes.labels) for one in found] == [1, 0, 1, 0, 1]
    assert [judge(one.score, 0.5)[0] for one in found] == ["ng", "ok", "ok", "ok", "ng"]
    assert (found[1].score, found[1].boxes.xyxy_px.shape) == (0.0, (0, 4))


def test_boxes_are_not_overwritten_by_the_next_frame(detector):
    first = detector.predict(tiny.frame(tiny.NG))
    edges, score = first.boxes.xyxy_px.copy(), first.boxes.scores.copy()
    detector.predict(tiny.frame(100, 64, 64))
    np.testing.assert_array_equal(first.boxes.xyxy_px, edges)
    np.testing.assert_array_equal(first.boxes.scores, score)


def test_a_box_whose_score_is_no_number_makes_the_frame_unknown_and_not_good(detector):
    found = detector.predict(tiny.frame(tiny.WHITE))
    assert math.isnan(found.score)
    assert judge(found.score, 0.5) == ("unknown", "not_finite")


def test_twins_of_a_detector_do_not_disturb_each_other(detector):
    found: dict[int, set[tuple[int, float]]] = {tiny.OK: set(), tiny.NG: set()}

    def work(patch: int) -> None:
        runner = detector.twin()
        for _ in range(30):
            prediction = runner.predict(tiny.frame(patch))
            found[patch].add((len(prediction.boxes.labels), round(prediction.score, 5)))

    threads = [threading.Thread(target=work, args=(patch,)) for patch in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == {tiny.OK: {(0, 0.0)}, tiny.NG: {(1, round(200 / 255, 5))}}


def test_the_outputs_that_are_read_follow_from_the_decoder():
    assert outputs_of(tiny.DECODER) == ("distances",)
    assert outputs_of(tiny.BOXES) == ("dets", "labels")


@pytest.mark.parametrize("output", ["dets", "labels"])
def test_a_graph_without_an_output_of_the_decoder_is_refused_when_it_is_read(tmp_path, output):
    file = tiny.make_boxes_bundle(tmp_path / "b") / MODEL_XML
    file.write_text(file.read_text().replace(f'"{output}"', '"guesses"'))
    with pytest.raises(ModelError, match="make the bundle again"):
        Runner(file, tiny.BOXES, "f32")


def test_a_graph_of_another_family_is_refused_when_it_is_read(bundle):
    with pytest.raises(ModelError, match="make the bundle again"):
        Runner(bundle / MODEL_XML, tiny.BOXES, "f32")


def test_a_heatmap_is_decoded_without_another_copy():
    distances = np.random.default_rng(0).random((1, 1, 8, 8), np.float32)
    found = decode(tiny.DECODER, [distances], 64, 64)
    assert found.score == float(distances.max())
    assert np.shares_memory(found.heatmap, distances)
    assert (found.boxes, found.label) == (None, None)
