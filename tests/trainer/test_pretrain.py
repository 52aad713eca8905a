"""The lines to learn from, what an episode shows, the loss, the training in small, and the weights that ship."""

import itertools

import cv2
import numpy as np
import pytest

from models.errors import ConfigError
from models.manifest import Weights
from trainer.backbone import STARTER
from trainer.cli import main
from trainer.patchcore import Patchcore
from trainer.pretrain import episodes, train
from trainer.pretrain.comparing import Comparing
from trainer.pretrain.episodes import CELL_PX, CROP_PX, draw_episode
from trainer.pretrain.join import join, variance_of
from trainer.pretrain.kinds import Kinds, draw_sample, render_pool
from trainer.pretrain.lines import DAMAGED, GOOD, SIDE_PX, Lines, render_lines
from trainer.pretrain.ranking import cells_of, nearest, ranking_loss
from trainer.pretrain.train import Settings, pretrain, rate
from trainer.synth.blemishes import KINDS, paint_blemish
from trainer.synth.parts import render_part
from trainer.synth.scene import draw_pose, render_screw, streams, upright
from trainer.trunks import COMPARING, new_trunk

CELLS = CROP_PX // CELL_PX
FIRST_DESIGN = 10_000_000  # of seed 0


SCREWS = 1  # line of seed 0 that shows screws


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    return render_lines(tmp_path_factory.mktemp("lines"), 4, seed=0, workers=1)


def test_a_line_has_good_pictures_and_damaged_ones_that_say_where(lines):
    assert lines.pictures.shape == (4, GOOD + DAMAGED, SIDE_PX, SIDE_PX, 3)
    assert lines.damage.shape == (4, DAMAGED, SIDE_PX, SIDE_PX)
    design = FIRST_DESIGN
    assert (lines.pictures[0, 1] == render_part(design, 1, turn_deg=0).image).all()
    without = render_part(design, GOOD, turn_deg=0).image.astype(np.float32)
    away = np.abs(lines.pictures[0, GOOD] - without).mean(axis=-1)
    assert away[lines.damage[0, 0] > 0].mean() > 6
    assert away[lines.damage[0, 0] == 0].mean() < 0.1


def test_a_line_of_screws_shows_one_place_of_screws_that_lie_alike(lines):
    screws = lines.pictures[SCREWS, ..., 0].astype(np.float32)
    for other in screws[1:]:
        same = np.corrcoef(screws[0].ravel(), other.ravel())[0, 1]
        turned = np.corrcoef(screws[0].ravel(), other[::-1, ::-1].ravel())[0, 1]
        assert same > max(0.9, turned)
    assert not lines.damage[SCREWS].min(axis=(1, 2)).any()


def test_an_upright_screw_lies_in_the_middle_with_its_head_left():
    for seed in range(3):
        image, _ = render_screw(seed, size_px=128)
        matrix = upright(draw_pose(streams(seed)[0]), 128)
        part = cv2.warpAffine(image[..., 0], matrix, (128, 128), borderMode=cv2.BORDER_REPLICATE) < 150
        rows, columns = np.nonzero(part)
        assert abs(rows.mean() - 63.5) < 4
        assert columns.std() > 3 * rows.std()
        wide = part.sum(axis=0)
        assert wide[:50].max() > 1.5 * wide[70:].max()


def test_lines_are_rendered_once(lines, tmp_path):
    again = render_lines(tmp_path, 2, seed=0, workers=1)
    assert (again.pictures == lines.pictures[:2]).all(), "more lines begin with the same ones"
    written = (tmp_path / "damage.npy").stat().st_mtime_ns
    render_lines(tmp_path, 2, seed=0, workers=1)
    assert (tmp_path / "damage.npy").stat().st_mtime_ns == written


def test_an_episode_repeats_with_its_seed_and_shows_one_place(lines):
    episode, again = (draw_episode(lines, np.random.default_rng(3)) for _ in range(2))
    assert episode.crops.shape == (GOOD + 1, CROP_PX, CROP_PX, 3)
    assert (episode.crops == again.crops).all()
    assert (episode.covered == again.covered).all()
    assert episode.crops.min() >= 0
    assert episode.crops.max() <= 255


def test_cells_are_covered_where_the_crop_shows_damage(lines, monkeypatch):
    monkeypatch.setattr(episodes, "_AT_DEFECT", 1.0)
    monkeypatch.setattr(episodes, "paint_blemish", lambda picture, *_: (picture, np.zeros_like(picture), 0))
    glowing = lines.pictures.copy() // 4  # good parts are dark, and damage is white
    glowing[:, GOOD:][lines.damage > 0] = 255
    bright, covered = [], []
    for seed in range(30):
        episode = draw_episode(Lines(glowing, lines.damage), np.random.default_rng(seed))
        assert episode.covered.shape == (CELLS, CELLS)
        is_negative = np.median(episode.crops) > 128
        seen = 255 - episode.crops[-1] if is_negative else episode.crops[-1]
        bright.append((seen.mean(axis=-1) > 128).reshape(CELLS, CELL_PX, CELLS, CELL_PX).mean(axis=(1, 3)))
        covered.append(episode.covered)
    np.testing.assert_allclose(bright, covered, atol=0.25)
    assert np.corrcoef(np.ravel(bright), np.ravel(covered))[0, 1] > 0.98


def test_nearly_every_episode_is_damaged_whatever_it_looks_at(lines):
    covered = [draw_episode(lines, np.random.default_rng(seed)).covered for seed in range(40)]
    assert np.mean([(one > 0.3).any() for one in covered]) > 0.8
    assert np.mean([one.mean() for one in covered]) < 0.2


def test_a_blemish_changes_the_picture_most_where_it_says(lines):
    picture, other = (lines.pictures[i, 0, :CROP_PX, :CROP_PX, 0].astype(np.float32) for i in (0, 2))
    seen, kinds = 0, set()
    for seed in range(60):
        result, where, kind = paint_blemish(picture, other, np.random.default_rng(seed))
        kinds.add(KINDS[kind])
        change = np.abs(result - picture)
        assert where.min() >= 0
        assert where.max() <= 1
        if where.any():
            seen += 1
            assert change[where > 0].mean() > 2 * change[where == 0].mean()
    assert seen > 40
    assert kinds == set(KINDS) - {"sound"}


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return render_pool(tmp_path_factory.mktemp("pool"), 4, seed=0)


def test_a_pool_holds_screws_and_surfaces_and_none_is_like_the_other(pool):
    assert pool.shape == (4, 512, 512)
    assert pool.dtype == np.uint8
    assert min(picture.std() for picture in pool) > 1
    assert len({float(picture.mean()) for picture in pool}) == len(pool)


def test_a_sample_has_a_kind_for_every_cell_and_repeats_with_its_seed(pool):
    picture, kinds = draw_sample(pool, np.random.default_rng(3))
    again, kinds_again = draw_sample(pool, np.random.default_rng(3))
    assert picture.shape == (CROP_PX, CROP_PX)
    assert kinds.shape == (CELLS, CELLS)
    assert (picture == again).all()
    assert (kinds == kinds_again).all()


def test_samples_show_defects_and_sound_surface(pool):
    seen = np.concatenate([draw_sample(pool, np.random.default_rng(seed))[1].ravel() for seed in range(40)])
    assert 0.5 < (seen == 0).mean() < 0.999
    assert len(np.unique(seen)) > 4


def test_the_nearest_is_that_of_brute_force(torch):
    rng = np.random.default_rng(0)
    vectors, bank = (torch.from_numpy(rng.normal(size=(2, n, 5)).astype(np.float32)) for n in (7, 11))
    want = torch.cdist(vectors, bank).amin(-1)
    assert torch.allclose(nearest(vectors, bank), want, atol=1e-3)


def features_of(torch, damaged_at: float, scale: float = 1.0):
    """Two episodes of 4x4 cells: good cells lie within 1 of each other, the damaged ones `damaged_at` away."""
    rng = np.random.default_rng(1)
    features = rng.normal(0, 0.3, (2, 3, 2, 4, 4)).astype(np.float32)
    features[:, -1, :, 1, 1] += damaged_at
    covered = np.zeros((2, 4, 4), np.float32)
    covered[:, 1, 1] = 1
    return torch.from_numpy(features * np.float32(scale)), torch.from_numpy(covered)


def test_the_loss_falls_as_damage_moves_away_and_knows_no_scale(torch):
    near, far, farther = (ranking_loss(*features_of(torch, away)) for away in (0, 0.3, 3))
    assert near[0] > far[0] > farther[0] >= 0
    assert (near[1].item(), farther[1].item()) == (0, 1)
    assert ranking_loss(*features_of(torch, 0.3, scale=50))[0].item() == pytest.approx(far[0].item(), rel=1e-3)


def test_cells_beside_a_damaged_one_are_neither_and_episodes_without_damage_teach_nothing(torch):
    features, covered = features_of(torch, 0.3)
    damaged, good = (cells.reshape(2, 4, 4) for cells in cells_of(covered))
    assert damaged.sum() == 2
    assert good[0].int().tolist() == [[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1], [1, 1, 1, 1]]
    loss, found = ranking_loss(features, torch.zeros_like(covered))
    assert (loss.item(), found.item()) == (0, 0)
    half = covered.clone()
    half[1] = 0
    assert ranking_loss(features, half)[0] == pytest.approx(ranking_loss(features[:1], covered[:1])[0].item(), rel=1e-4)


def test_the_rate_warms_up_and_ends_at_nothing():
    rates = [rate(step, 1000) for step in range(1001)]
    assert max(range(1001), key=rates.__getitem__) < 60
    assert rates[-1] == pytest.approx(0)


SMALL = Settings(pictures=2, steps=6, batch=2, seed=5)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "weights.pth"
    pretrain(SMALL, out)
    return out


def test_training_writes_half_floats_that_load_and_leaves_nothing_else(whole, torch):
    state = torch.load(whole, weights_only=True)
    assert state["conv1.weight"].dtype == torch.float16
    new_trunk("resnet18").load_state_dict(state)
    assert [path.name for path in whole.parent.iterdir()] == ["weights.pth"]


def test_an_interrupted_training_goes_on_to_the_same_weights(whole, tmp_path, monkeypatch, torch):
    out, learn = tmp_path / "weights.pth", train._Learner.learn

    def interrupted(learner, *batch):
        if learner.step == 4:
            raise KeyboardInterrupt
        return learn(learner, *batch)

    monkeypatch.setattr(train, "_SAVE_EVERY", 3)
    with monkeypatch.context() as patch:
        patch.setattr(train._Learner, "learn", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pretrain(SMALL, out)
    assert not out.exists()
    pretrain(SMALL, out)
    want, got = (torch.load(file, weights_only=True) for file in (whole, out))
    assert all(torch.equal(want[name], got[name]) for name in want)


def test_other_settings_do_not_go_on_with_what_was_interrupted(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train._Learner, "learn", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pretrain(SMALL, tmp_path / "weights.pth")
    arguments = ["pretrain", "--out", str(tmp_path / "weights.pth"), "--pictures", "3"]
    with pytest.raises(ConfigError, match=r"weights\.pth\.work: a run with other options stopped here; give its"):
        pretrain(Settings(pictures=3), tmp_path / "weights.pth")
    assert main(arguments) == 2


def test_a_few_steps_make_the_loss_smaller(lines, torch, tmp_path):
    torch.manual_seed(0)
    learner = train._Learner(Comparing(lines, 2, rate=5e-3), Settings(), tmp_path / "none")
    drawn = (draw_episode(lines, np.random.default_rng(seed)) for seed in itertools.count())
    damaged = list(itertools.islice((e for e in drawn if (e.covered > 0.3).any()), 2))
    batch = [torch.from_numpy(np.stack([getattr(e, name) for e in damaged])) for name in ("crops", "covered")]
    losses = [learner.learn(*batch)[0] for _ in range(25)]
    assert np.mean(losses[-3:]) < 0.8 * losses[0]


def test_kinds_are_learned_too_and_a_second_round_begins_with_the_first_ones_weights(pool, torch, tmp_path):
    out = tmp_path / "kinds.pth"
    assert (
        main(["pretrain", "--task", "kinds", "--out", str(out), "--pictures", "2", "--steps", "2", "--batch", "2"]) == 0
    )
    assert {"layer2.1.conv2.weight", "layer3.1.conv2.weight"} <= torch.load(out, weights_only=True).keys()
    torch.manual_seed(0)
    task = Kinds(pool, 4, rate=5e-3)
    learner = train._Learner(task, Settings(task="kinds", start=str(out)), tmp_path / "none")
    assert torch.equal(learner.network["trunk"].conv1.weight.half(), torch.load(out, weights_only=True)["conv1.weight"])
    batch = [torch.from_numpy(part) for part in task.draw(np.random.default_rng(0))]
    losses = [learner.learn(*batch)[0] for _ in range(25)]
    assert np.mean(losses[-3:]) < 0.8 * losses[0]


def test_two_trunks_travel_together_count_alike_and_patchcore_looks_through_both(whole, lines, torch, tmp_path):
    import timm

    torch.manual_seed(3)
    backbone = timm.create_model("resnet18", pretrained=False, features_only=True, out_indices=(2, 3)).state_dict()
    comparing = torch.load(whole, weights_only=True)
    both = join(join(backbone, comparing, lines), comparing, lines)
    assert len(both) == len(backbone) + len(comparing)
    trunks = [new_trunk("resnet18"), new_trunk("resnet18")]
    trunks[0].load_state_dict({name: backbone[name] for name in trunks[0].state_dict()})
    trunks[1].load_state_dict({name: both[COMPARING + name] for name in comparing})
    assert variance_of(trunks[0], lines) == pytest.approx(variance_of(trunks[1], lines), rel=1e-3)
    torch.save(both, tmp_path / "both.pth")
    torch.save(backbone, tmp_path / "one.pth")
    weights = Weights(source="path", name="both.pth", sha256=None)
    net = Patchcore("resnet18", tmp_path / "both.pth", weights)
    assert net.layers == ("layer2",)
    pixels = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        (joined,) = net._network(pixels)
        trunks[0].load_state_dict({name: backbone[name] for name in trunks[0].state_dict()})
        apart = torch.cat([trunk.eval()(pixels)[0] for trunk in trunks], 1)
    assert torch.allclose(joined, apart, rtol=1e-4, atol=1e-4)
    assert Patchcore("resnet18", tmp_path / "one.pth", weights).layers == ("layer2", "layer3")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--start", "nowhere.pth"], "nowhere.pth: no such file; give --start weights that `pretrain` wrote"),
        (["--device", "cuda"], "--device cuda: torch sees no such device here"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_rendered(tmp_path, capsys, more, said):
    assert main(["pretrain", "--out", str(tmp_path / "weights.pth"), *more]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_weights_that_are_there_are_not_overwritten(tmp_path, capsys):
    (tmp_path / "weights.pth").write_bytes(b"dear")
    assert main(["pretrain", "--out", str(tmp_path / "weights.pth")]) == 2
    assert "weights.pth: is there already; name another file or remove it" in capsys.readouterr().err


def test_the_starter_weights_are_whole_small_and_made_of_finite_numbers(torch):
    file = STARTER / "resnet18.pth"
    assert file.stat().st_size < 20e6
    state = torch.load(file, weights_only=True)
    assert {"conv1.weight", "layer2.1.conv2.weight", "layer3.1.conv2.weight"} <= state.keys()
    assert f"{COMPARING}layer2.1.conv2.weight" in state
    assert all(torch.isfinite(value.float()).all() for value in state.values())
