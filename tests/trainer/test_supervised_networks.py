"""The networks of the families with bad images: what they begin with, what they learn, and the graph that ships."""

import numpy as np
import pytest

from models.errors import ConfigError, ModelError
from models.heatmap import OUTPUT
from models.manifest import Weights
from tests.trainer.plates import mask_of, plate
from trainer.size import spec_for
from trainer.supervised.augment import Strength
from trainer.supervised.classification import Classification
from trainer.supervised.learn import Plan, learn
from trainer.supervised.networks import begin, groups, new_classifier, new_segmenter, settle
from trainer.supervised.pictures import Picture
from trainer.supervised.segmentation import CELL_PX, TEMPERATURE, Segmentation, top_cells

pytestmark = pytest.mark.usefixtures("torch")
TINY = "test_resnet"  # timm's own for tests
SPEC = spec_for(64, plate(0))


@pytest.fixture(scope="module")
def starter(torch, tmp_path_factory):
    """A file as models/starter holds it: a ResNet without its last stage and its head."""
    state = new_classifier(TINY, 2, SPEC, seed=7).state_dict()
    file = tmp_path_factory.mktemp("starter") / "half.pth"
    torch.save({k: v for k, v in state.items() if not k.startswith(("layer4", "fc"))}, file)
    return file


def of(picture, label="good"):
    mask = np.zeros(picture.shape[:2], np.uint8)
    return Picture(picture, mask, label)


def test_weights_without_the_last_stage_fill_the_others(torch, starter):
    network = new_classifier(TINY, 3, SPEC, seed=0)
    begun = begin(network, starter)
    state = torch.load(starter)
    assert begun.known == state.keys()
    assert all(torch.equal(network.state_dict()[key], value) for key, value in state.items())
    assert begun.words == f" ({len(state)} of {len(network.state_dict())} tensors)"


def test_the_same_file_fills_the_encoder_of_a_u_net(torch, starter):
    network = new_segmenter(TINY, SPEC, seed=0)
    begun = begin(network, starter)
    encoder = {key for key in network.state_dict() if key.startswith("encoder.")}
    assert begun.known == encoder
    wanted = torch.load(starter)["conv1.0.weight"]
    assert torch.equal(network.state_dict()["encoder.model.conv1.0.weight"], wanted)


def test_a_network_that_was_trained_before_goes_on_and_a_head_of_other_classes_begins_anew(torch, tmp_path):
    before = new_classifier(TINY, 4, SPEC, seed=7)
    torch.save(before.state_dict(), tmp_path / "w.pth")
    begun = begin(new_classifier(TINY, 2, SPEC, seed=0), tmp_path / "w.pth")
    assert before.state_dict().keys() - begun.known == {"fc.weight", "fc.bias"}
    unet = new_segmenter(TINY, SPEC, seed=7)
    torch.save(unet.state_dict(), tmp_path / "u.pth")
    assert begin(new_segmenter(TINY, SPEC, seed=0), tmp_path / "u.pth").words == ""


@pytest.mark.parametrize("make", [lambda: new_classifier(TINY, 2, SPEC, 0), lambda: new_segmenter(TINY, SPEC, 0)])
def test_weights_of_another_backbone_are_refused(torch, tmp_path, make):
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "w.pth")
    with pytest.raises(ConfigError, match=r"w.pth: lacks .*; these weights are of another backbone"):
        begin(make(), tmp_path / "w.pth")
    state = {key.removeprefix("encoder.model."): torch.zeros(3, 3) for key in make().state_dict()}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(ConfigError, match=r"w.pth: has another shape of .*; these weights are of another backbone"):
        begin(make(), tmp_path / "w.pth")


@pytest.mark.parametrize("make", [lambda n: new_classifier(n, 2, SPEC, 0), lambda n: new_segmenter(n, SPEC, 0)])
def test_a_backbone_that_cannot_be_used_is_refused_by_its_name(make):
    with pytest.raises(ConfigError, match=r"--backbone nonsense: .*; try resnet18"):
        make("nonsense")
    with pytest.raises(ConfigError, match=r"--backbone vit_tiny_patch16_224: .*; .*try resnet18"):
        make("vit_tiny_patch16_224")


def test_statistics_of_real_pictures_are_kept_and_others_come_from_the_images(torch, starter):
    images = [plate(i, height_px=64, width_px=64) for i in range(3)]
    for source, is_kept in (("hub", True), ("starter", False)):
        network = new_classifier(TINY, 2, SPEC, seed=0)
        begun = begin(network, starter)
        settle(network, begun, Weights(source=source, name="x", sha256="0" * 64), images, SPEC)
        loaded = torch.load(starter)["bn1.running_mean"]
        assert torch.equal(network.state_dict()["bn1.running_mean"], loaded) == is_kept
        assert network.state_dict()["layer4.0.bn1.running_var"].ne(1).any()
        assert not network.training


def test_what_is_known_is_changed_more_slowly_than_what_is_new(starter):
    network = new_classifier(TINY, 2, SPEC, seed=0)
    known, new = groups(network, begin(network, starter), rate=0.1, known_share=0.5)
    assert (known["lr"], new["lr"]) == (0.05, 0.1)
    assert len(known["params"]) + len(new["params"]) == len(list(network.parameters()))
    assert any(parameter is network.fc.weight for parameter in new["params"])


def test_a_training_lowers_the_loss_repeats_itself_and_leaves_the_statistics_alone(torch):
    pictures = [of(plate(i, hole=bool(i % 2), height_px=64, width_px=64), ("good", "hole")[i % 2]) for i in range(8)]
    plan = Plan(steps=12, batch=4, seed=5, strength=Strength(rotation_deg=8))
    runs = []
    for _ in range(2):
        task = Classification(TINY, ("hole",), SPEC, seed=1)
        before = task.network.state_dict()["bn1.running_mean"].clone()
        losses = learn(task.network, begin(task.network, None), pictures, task.loss, plan)
        assert torch.equal(before, task.network.state_dict()["bn1.running_mean"])
        runs.append((losses, task.network.fc.weight.detach().clone()))
    assert runs[0][0] == runs[1][0]
    assert torch.equal(runs[0][1], runs[1][1])
    assert len(runs[0][0]) == 12
    assert np.mean(runs[0][0][-4:]) < np.mean(runs[0][0][:4])


def test_a_training_that_diverges_ends_with_an_error_and_not_with_a_model(torch):
    task = Classification(TINY, ("hole",), SPEC, seed=1)
    with torch.no_grad():
        task.network.fc.weight.fill_(float("nan"))
    pictures = [of(plate(0, height_px=64, width_px=64)), of(plate(1, height_px=64, width_px=64), "hole")]
    plan = Plan(steps=3, batch=2, seed=0, strength=Strength())
    with pytest.raises(ModelError, match=r"diverged at step 0: the loss is nan; try another --seed"):
        learn(task.network, begin(task.network, None), pictures, task.loss, plan)


def test_the_loss_of_a_classifier_is_least_for_the_right_labels(torch):
    task = Classification(TINY, ("dent", "hole"), SPEC, seed=0)
    batch = [of(plate(0), "hole"), of(plate(0), "good")]
    right = torch.tensor([[0.0, 0, 9], [9, 0, 0]])
    assert task.loss(right, batch) < task.loss(right.flip(0), batch)
    assert task.loss(10 * right, batch) > task.loss(right, batch), "to be surer than sure is no gain"
    assert task.decoder.labels == ("good", "dent", "hole")


def holes(*seeds):
    return [Picture(plate(seed, hole=True), mask_of(seed)[:, :, 0], "hole") for seed in seeds]


def test_the_loss_of_a_segmenter_is_least_on_the_mask_and_falls_for_a_good_part_without_marks(torch):
    task = Segmentation(TINY, SPEC, holes(0), seed=0)
    on = torch.from_numpy(np.where(mask_of(0)[:, :, 0] > 0, np.float32(9), np.float32(-9)))[None, None]
    none = torch.full_like(on, -9)
    assert task.loss(on, holes(0)) < 0.01 < task.loss(none, holes(0))
    assert task.loss(none, [of(plate(0))]) < 0.01 < task.loss(on, [of(plate(0))])


def test_the_heatmap_that_ships_has_the_highest_of_each_cell(torch):
    task = Segmentation(TINY, SPEC, holes(0), seed=0)
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        sure = torch.sigmoid(task.network.eval()(images) / TEMPERATURE)[0, 0].numpy()
        heat = task.shipped()(images).numpy()
    assert heat.shape == (1, 1, 64 // CELL_PX, 64 // CELL_PX)
    wanted = sure.reshape(16, CELL_PX, 16, CELL_PX).max(axis=(1, 3))
    np.testing.assert_allclose(heat[0, 0], wanted, rtol=1e-6)
    assert OUTPUT == "heatmap"


def test_the_score_is_a_mean_over_half_of_the_cells_of_a_small_defect():
    mask = np.zeros((64, 64), np.uint8)
    small, large = mask.copy(), mask.copy()
    small[8:16, 8:16], large[:32, :32] = 255, 255
    assert top_cells([mask, small]) == 2
    assert top_cells([large]) == 32
    assert top_cells([small] + [large] * 99) > 2
    thin = mask.copy()
    thin[5, 5] = 255
    assert top_cells([thin]) == 1
