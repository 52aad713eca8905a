"""The resize that runs, against the sum that it stands for in double precision and against OpenVINO's own."""

import numpy as np
import pytest

from models.letterbox import letterbox
from models.manifest import Preprocess
from models.preprocess import with_preprocess
from models.resize import for_frames, weights

PLAIN = {"mean_rgb": (0, 0, 0), "std_rgb": (1, 1, 1)}
SIZES = [  # of the frame and of what the network sees; three pixels are as many as there are colours
    ((1024, 1024), (448, 448)),
    ((97, 211), (48, 64)),
    ((20, 31), (64, 40)),
    ((1, 1), (48, 64)),
    ((48, 500), (48, 64)),
    ((333, 64), (48, 64)),
    ((3, 3), (48, 64)),
    ((3, 200), (3, 3)),
    ((200, 3), (3, 64)),
    ((48, 64), (48, 64)),
]


def noise(height_px: int, width_px: int) -> np.ndarray:
    return np.random.default_rng(height_px * width_px).integers(0, 256, (height_px, width_px, 3), np.uint8)


def stretched(height_px: int, width_px: int):
    """A graph that shows what a network of that size would see, (1, 3, height_px, width_px)."""
    import openvino as ov
    from openvino import opset13 as op

    seen = op.parameter([1, 3, height_px, width_px], np.float32)
    model = ov.Model([op.multiply(seen, np.float32(1))], [seen], "seen")
    return with_preprocess(model, Preprocess(height_px=height_px, width_px=width_px, **PLAIN))


def lettered(side_px: int):
    """The same of a detector, which keeps the proportions."""
    import openvino as ov

    nodes = letterbox(Preprocess(height_px=side_px, width_px=side_px, fit="letterbox", **PLAIN))
    return ov.Model([nodes.pixels], [nodes.frame], "seen")


def run(model, image: np.ndarray) -> np.ndarray:
    import openvino as ov

    return np.array(ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(image[None])[0][0])


def by_openvino(model, image: np.ndarray) -> np.ndarray:
    """The graph as it is stored, for this frame."""
    copy = model.clone()
    copy.reshape([1, *image.shape])
    return run(copy, image)


def summed(image: np.ndarray, height_px: int, width_px: int) -> np.ndarray:
    """Every pixel of the result as a mean over the frame's, in double precision, RGB."""
    rows, columns = (exact(*lengths) for lengths in zip(image.shape, (height_px, width_px), strict=False))
    return np.einsum("yr,rcb,xc->byx", rows, image.astype(np.float64), columns, optimize=True)[::-1]


def exact(length_px: int, wanted_px: int) -> np.ndarray:
    """Pillow's coefficients, written as its source does: pixel by pixel."""
    found, scale = np.zeros((wanted_px, length_px)), length_px / wanted_px
    reach = max(scale, 1.0)
    for row in range(wanted_px):
        centre = (row + 0.5) * scale
        for pixel in range(max(0, int(centre - reach + 0.5)), min(length_px, int(centre + reach + 0.5))):
            found[row, pixel] = max(0.0, 1 - abs((pixel - centre + 0.5) / reach))
        found[row] /= found[row].sum()
    return found


def kinds(model) -> set[str]:
    return {node.get_type_name() for node in model.get_ops()}


@pytest.mark.parametrize(("frame", "net"), SIZES, ids=str)
def test_a_resized_frame_is_exact_to_a_ten_thousandth_of_a_grey_level(frame, net):
    image = noise(*frame)
    made = for_frames(stretched(*net), *frame)
    assert "Interpolate" not in kinds(made)
    seen = run(made, image)
    assert seen.shape == (3, *net)
    assert np.abs(seen - summed(image, *net)).max() < 1e-4


@pytest.mark.parametrize("frame", [(64, 64), (33, 64), (100, 64), (1000, 1024), (20, 31), (400, 15), (1, 7)], ids=str)
def test_a_letterboxed_frame_is_what_openvino_makes_of_it(frame):
    image, model = noise(*frame), lettered(64)
    made = for_frames(model, *frame)
    assert "Interpolate" not in kinds(made)
    assert np.abs(run(made, image) - by_openvino(model, image)).max() < 5e-3


def test_the_graph_that_is_stored_stays_right_for_frames_of_any_size():
    model, image = stretched(48, 64), noise(301, 417)
    for_frames(model, 100, 100)
    assert "Interpolate" in kinds(model)
    assert model.inputs[0].partial_shape.is_dynamic
    assert np.abs(run(for_frames(model, 301, 417), image) - by_openvino(model, image)).max() < 5e-3


def test_other_resizes_in_a_network_are_left_alone():
    import openvino as ov
    from openvino import opset13 as op

    seen = op.parameter([1, 3, 48, 64], np.float32)
    twice = op.interpolate(seen, np.array([96, 128]), "linear_onnx", "sizes", axes=np.array([2, 3]))
    spec = Preprocess(height_px=48, width_px=64, **PLAIN)
    made = for_frames(with_preprocess(ov.Model([twice], [seen], "twice"), spec), 100, 100)
    assert [node.get_type_name() for node in made.get_ops()].count("Interpolate") == 1


@pytest.mark.parametrize(("length", "wanted"), [(1024, 448), (448, 1024), (100, 1), (1, 100), (7, 7)])
def test_the_weights_of_a_pixel_are_pillows_and_sum_to_one(length, wanted):
    found = weights(length, wanted)
    assert found.shape == (wanted, length)
    np.testing.assert_allclose(found, exact(length, wanted), atol=1e-7)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)
