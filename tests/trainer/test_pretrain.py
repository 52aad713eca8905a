"""The generated pictures, the training loop in small, and the weights that ship."""

import numpy as np
import pytest

from trainer.backbone import STARTER
from trainer.pretrain import CELL_PX, CROP_PX, POOL_PX, draw_sample, train
from trainer.synth.blemishes import KINDS, paint_blemish
from trainer.synth.textures import draw_texture


@pytest.fixture(scope="module")
def pool():
    rng = np.random.default_rng(0)
    return [draw_texture(rng, POOL_PX) for _ in range(6)]


def test_textures_are_grey_values_and_none_is_like_the_other(pool):
    for surface in pool:
        assert surface.shape == (POOL_PX, POOL_PX)
        assert surface.dtype == np.float32
        assert surface.min() >= 0
        assert surface.max() <= 255
        assert surface.std() > 1
    assert len({float(surface.mean()) for surface in pool}) == len(pool)


def test_a_blemish_changes_the_picture_most_where_it_says(pool):
    picture, other = pool[0][:CROP_PX, :CROP_PX], pool[1][:CROP_PX, :CROP_PX]
    kinds = set()
    for seed in range(60):
        result, where, kind = paint_blemish(picture, other, np.random.default_rng(seed))
        kinds.add(KINDS[kind])
        change = np.abs(result - picture)
        assert not where.any() or change[where > 0].mean() > 2 * change[where == 0].mean()
    assert kinds == set(KINDS) - {"sound"}


def test_a_sample_has_a_kind_for_every_cell_and_repeats_with_its_seed(pool):
    picture, kinds = draw_sample(pool, np.random.default_rng(3))
    again, kinds_again = draw_sample(pool, np.random.default_rng(3))
    assert picture.shape == (CROP_PX, CROP_PX)
    assert kinds.shape == (CROP_PX // CELL_PX, CROP_PX // CELL_PX)
    assert np.array_equal(picture, again)
    assert np.array_equal(kinds, kinds_again)


def test_samples_show_defects_and_sound_surface(pool):
    seen = np.concatenate([draw_sample(pool, np.random.default_rng(seed))[1].ravel() for seed in range(40)])
    assert 0.5 < (seen == 0).mean() < 0.999
    assert len(np.unique(seen)) > 4


def test_training_writes_weights_that_load_and_an_interrupted_run_goes_on(pool, tmp_path):
    import torch

    out = tmp_path / "weights.pth"
    train(pool, out, steps=2, batch=2, seed=0)
    first = torch.load(out, weights_only=True)
    assert first["conv1.weight"].dtype == torch.float16
    torch.save(torch.load(tmp_path / "weights.pth", weights_only=True), tmp_path / "round1.pth")
    train(pool, tmp_path / "second.pth", steps=1, batch=2, seed=1, start=tmp_path / "round1.pth")
    second = torch.load(tmp_path / "second.pth", weights_only=True)
    assert first.keys() == second.keys()
    assert not torch.equal(first["conv1.weight"], second["conv1.weight"])


def test_the_starter_weights_are_whole_small_and_made_of_finite_numbers():
    import torch

    file = STARTER / "resnet18.pth"
    assert file.stat().st_size < 20e6
    state = torch.load(file, weights_only=True)
    assert {"conv1.weight", "layer2.1.conv2.weight", "layer3.1.conv2.weight"} <= state.keys()
    assert all(torch.isfinite(value.float()).all() for value in state.values())
