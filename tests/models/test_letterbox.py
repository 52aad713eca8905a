"""The letterbox in the graph against torch's, and the one formula of the size against the graph's own."""

import numpy as np
import pytest

from models.letterbox import Letterboxed, letterbox, scaled_size
from models.manifest import Preprocess
from models.resize import for_frames
from trainer.detection.reference import letterboxed

MEAN_RGB, STD_RGB = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
SIZES = [(64, 64), (1, 7), (33, 64), (64, 33), (1000, 1024), (20, 31), (9, 400), (400, 15), (65, 64)]


def spec_of(side_px: int, channels="bgr", mean=MEAN_RGB, std=STD_RGB, pad=114.0) -> Preprocess:
    return Preprocess(
        height_px=side_px, width_px=side_px, mean_rgb=mean, std_rgb=std, fit="letterbox", channels=channels, pad=pad
    )


def run(image: np.ndarray, spec: Preprocess) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels (3, h, w), content and factor (4,) that the graph gives for a frame."""
    import openvino as ov

    nodes = letterbox(spec)
    model = ov.Model([nodes.pixels, nodes.content_px, nodes.factor], [nodes.frame], "letterbox")
    model = for_frames(model, *image.shape[:2])
    found = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(image[None])
    return np.array(found[0][0]), np.array(found[1]), np.array(found[2])


def coloured(height_px: int, width_px: int) -> np.ndarray:
    """Noise with another brightness in each channel: swapped channels are far apart."""
    noise = np.random.default_rng(height_px * width_px).integers(0, 86, (height_px, width_px, 3), np.uint8)
    return noise + np.array([0, 85, 169], np.uint8)


@pytest.mark.parametrize(
    ("frame", "channels"), [*((size, "bgr") for size in SIZES), ((33, 64), "rgb"), ((65, 64), "rgb")], ids=str
)
def test_the_network_sees_what_torch_would_have_given_it(frame, channels):
    image, spec = coloured(*frame), spec_of(64, channels)
    ours, content, factor = run(image, spec)
    theirs, (height, width) = letterboxed(image, spec)
    assert ours.shape == (3, 64, 64)
    assert (np.abs(ours - theirs[0].numpy()) * np.reshape(STD_RGB, (3, 1, 1))).max() < 1e-3
    assert content.tolist() == [width, height, width, height]
    np.testing.assert_allclose(factor, np.array([frame[1], frame[0]] * 2) / content, rtol=1e-6)


@pytest.mark.parametrize("frame", [(400, 9), (1000, 9), (300, 7)], ids=str)
def test_a_frame_that_becomes_one_pixel_wide_is_seen_as_pillow_scales_it(frame):
    """torch's antialiased resize is off by a dozen grey levels there: Pillow is the witness."""
    from PIL import Image

    image = coloured(*frame)
    height, width = scaled_size(*frame, 64)
    assert width == 1
    seen, _, _ = run(image, spec_of(64, mean=(0, 0, 0), std=(1, 1, 1)))
    small = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
    assert np.abs(seen[:, :height, :width] - small.transpose(2, 0, 1)).max() < 1, "but for Pillow's rounding"


def test_the_frame_lies_at_the_top_left_and_the_rest_is_filled():
    plain = {"mean": (0, 0, 0), "std": (1, 1, 1)}
    seen, _, _ = run(np.full((50, 100, 3), 200, np.uint8), spec_of(64, **plain, pad=30))
    np.testing.assert_allclose(seen[:, :32], 200, atol=1e-3)
    np.testing.assert_allclose(seen[:, 32:], 30, atol=1e-3)


@pytest.mark.parametrize(("channels", "order"), [("bgr", [0, 1, 2]), ("rgb", [2, 1, 0])])
def test_each_colour_gets_its_own_mean_and_scale_whatever_their_order(channels, order):
    image = np.full((64, 64, 3), (30, 20, 10), np.uint8)  # BGR
    seen, _, _ = run(image, spec_of(64, channels, (1, 2, 3), (10, 20, 40)))
    by_bgr = np.array([27 / 40, 18 / 20, 9 / 10])
    np.testing.assert_allclose(seen.mean(axis=(1, 2)), by_bgr[order], atol=1e-5)


def test_a_frame_of_the_networks_own_size_is_not_smoothed():
    image = coloured(64, 64)
    seen, _, factor = run(image, spec_of(64, mean=(0, 0, 0), std=(1, 1, 1)))
    np.testing.assert_allclose(seen, image.transpose(2, 0, 1), atol=1e-3)
    assert factor.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("side_px", [96, 320, 640])
def test_the_size_that_is_computed_is_that_of_the_graph(side_px):
    """Also where half a pixel decides: a box that is scaled by another size lies elsewhere."""
    import openvino as ov

    nodes: Letterboxed = letterbox(spec_of(side_px))
    model = ov.Model([nodes.content_px], [nodes.frame], "size")
    rng = np.random.default_rng(side_px)
    frames = [(int(h), int(w)) for h, w in np.exp(rng.uniform(0, np.log(5000), (120, 2))).astype(int)]
    halves = [(2 * side_px, 2 * k + 1) for k in range(20)] + [(k, 4 * side_px) for k in range(1, 40)]
    for height, width in [*frames, *halves, (1, 1), (1, 5000), (5000, 1)]:
        model.reshape([1, height, width, 3])
        content = _constant(model)
        assert (content[1], content[0]) == scaled_size(height, width, side_px), (height, width)


def _constant(model) -> list[float]:
    """What OpenVINO folds the only output of a model of static shape into: no frame of that size is needed."""
    from openvino.passes import ConstantFolding, Manager

    copy, manager = model.clone(), Manager()
    manager.register_pass(ConstantFolding())
    manager.run_passes(copy)
    return [int(value) for value in copy.get_results()[0].input_value(0).get_node().get_data()]


@pytest.mark.parametrize(
    ("frame", "wanted"),
    [
        ((480, 640), (240, 320)),
        ((1, 1000), (1, 320)),
        ((320, 1), (320, 1)),
        ((100, 50), (320, 160)),
        ((641, 640), (320, 320)),
    ],
)
def test_one_factor_scales_both_sides_and_no_side_vanishes(frame, wanted):
    assert scaled_size(*frame, 320) == wanted
