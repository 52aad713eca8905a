"""The preprocessing in the graph against torch's, on the scale 0..255."""

import numpy as np
import pytest

from models.manifest import Preprocess
from models.preprocess import with_preprocess
from models.resize import for_frames

MEAN_RGB, STD_RGB = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
PLAIN = ((0, 0, 0), (1, 1, 1))
SIZES = [  # of the frame and of what the network sees: same, half, odd, big, upscaled, one side only
    ((48, 64), (48, 64)),
    ((96, 128), (48, 64)),
    ((97, 211), (48, 64)),
    ((240, 320), (64, 40)),
    ((20, 31), (64, 40)),
    ((1, 1), (48, 64)),
    ((48, 500), (48, 64)),
    ((333, 40), (64, 40)),
    ((480, 640), (256, 256)),
]


@pytest.fixture(scope="module")
def identity():
    """What the network sees: a graph that gives back twice its input, behind the preprocessing of `spec`."""
    import openvino as ov
    from openvino import opset13 as op

    core, made = ov.Core(), {}

    def run(image: np.ndarray, spec: Preprocess) -> np.ndarray:
        if spec not in made:
            seen = op.parameter([1, 3, spec.height_px, spec.width_px], np.float32, name="image")
            model = ov.Model([op.multiply(seen, np.float32(2))], [seen], "twice")
            made[spec] = with_preprocess(model, spec)
        model = for_frames(made[spec], *image.shape[:2])
        out = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(image[None])
        return np.array(out[0][0]) / 2

    return run


def by_torch(image: np.ndarray, spec: Preprocess) -> np.ndarray:
    import torch
    import torch.nn.functional as F  # noqa: N812

    rgb = torch.from_numpy(image[:, :, ::-1].copy()).permute(2, 0, 1)[None].float()
    small = F.interpolate(rgb, (spec.height_px, spec.width_px), mode="bilinear", antialias=True, align_corners=False)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (spec.mean_rgb, spec.std_rgb))
    return ((small - mean) / std)[0].numpy()


def spec_of(height_px: int, width_px: int, mean=MEAN_RGB, std=STD_RGB) -> Preprocess:
    return Preprocess(height_px=height_px, width_px=width_px, mean_rgb=mean, std_rgb=std)


def coloured(height_px: int, width_px: int) -> np.ndarray:
    """Noise with another brightness in each channel: swapped channels are far apart."""
    noise = np.random.default_rng(height_px * width_px).integers(0, 86, (height_px, width_px, 3), np.uint8)
    return noise + np.array([0, 85, 169], np.uint8)


@pytest.mark.parametrize(("frame", "net"), SIZES, ids=str)
def test_the_network_sees_what_torch_would_have_given_it(identity, frame, net):
    image, spec = coloured(*frame), spec_of(*net)
    ours, theirs = identity(image, spec), by_torch(image, spec)
    assert ours.shape == theirs.shape == (3, *net)
    apart = np.abs(ours - theirs) * np.reshape(STD_RGB, (3, 1, 1))  # back on the scale 0..255
    assert apart.max() < 1e-3


def test_full_range_noise_is_seen_alike(identity):
    image = np.random.default_rng(7).integers(0, 256, (301, 417, 3), np.uint8)
    spec = spec_of(48, 64, *PLAIN)
    assert np.abs(identity(image, spec) - by_torch(image, spec)).max() < 1e-3


@pytest.mark.parametrize(("channel", "plane"), [(0, 2), (1, 1), (2, 0)], ids=["blue", "green", "red"])
def test_blue_comes_first_in_the_frame_and_last_in_the_network(identity, channel, plane):
    image = np.zeros((100, 100, 3), np.uint8)
    image[:, :, channel] = 200
    seen = identity(image, spec_of(48, 64, *PLAIN))
    np.testing.assert_allclose(seen.mean(axis=(1, 2)), [200 if i == plane else 0 for i in range(3)], atol=1e-3)


def test_each_channel_gets_its_own_mean_and_scale(identity):
    image = np.full((100, 100, 3), (30, 20, 10), np.uint8)  # BGR
    seen = identity(image, spec_of(48, 64, (1, 2, 3), (10, 20, 30)))
    np.testing.assert_allclose(seen.mean(axis=(1, 2)), [0.9, 0.9, 0.9], atol=1e-5)


def test_fine_stripes_become_grey_and_not_a_pattern(identity):
    """Without antialias a thread that is finer than the network's pixels turns into waves."""
    image = np.zeros((480, 640, 3), np.uint8)
    image[:, ::2] = 255
    seen = identity(image, spec_of(48, 64, *PLAIN))
    assert np.ptp(seen[:, :, 2:-2]) < 1


def test_a_frame_of_the_networks_own_size_is_not_smoothed(identity):
    image = coloured(48, 64)
    seen = identity(image, spec_of(48, 64, *PLAIN))
    np.testing.assert_allclose(seen, image[:, :, ::-1].transpose(2, 0, 1), atol=1e-3)
