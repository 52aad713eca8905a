"""The IR against mmdet's own prediction, on pictures of native size: the same boxes, wherever they lie."""

import numpy as np
import pytest

from models.manifest import BoxesDecoder
from models.prediction import Boxes
from models.regions import regions_of
from models.runner import Runner
from models.scoring import judge
from trainer.detection.config import SCORE_FLOOR, letterbox_spec
from trainer.detection.graph import export, new_network, torch_network
from trainer.detection.parity import FLOOR, MAX_BOX_PX, MAX_SCORE, check_boxes, distances
from trainer.detection.reference import letterboxed, torch_boxes
from trainer.detection.train import quiet
from trainer.export import save_ir

MODEL, SIDE_PX = "rtmdet-tiny", 96
SPEC = letterbox_spec(SIDE_PX)
SIZES = [(96, 96), (300, 400), (77, 301), (512, 90), (33, 40)]


@pytest.fixture(scope="module", params=[2, 3], ids=["two classes", "three classes"])
def both(request, mmdet, torch, tmp_path_factory):
    """A network that finds boxes everywhere, some over the edge and some empty; its labels, and its IR's runner."""
    folder, labels = tmp_path_factory.mktemp("wild"), ("dent", "scratch", "stain")[: request.param]
    torch.manual_seed(request.param)
    network = new_network(MODEL, len(labels))
    network.train()
    with torch.no_grad(), quiet():
        for layer in network.bbox_head.rtm_cls:
            layer.weight.normal_(0, 0.1)
            layer.bias.fill_(-1)
        for layer in network.bbox_head.rtm_reg:
            layer.weight.normal_(0, 0.6)
            layer.bias.copy_(torch.tensor([3, -0.1, 0.5, 0.2]))  # far to the left, and hardly any height
        for _ in range(4):  # BatchNorm's statistics: else each picture gives the same
            network(torch.randn(2, 3, SIDE_PX, SIDE_PX), mode="tensor")
    file = folder / "weights.pth"
    torch.save(network.state_dict(), file)
    save_ir(export(MODEL, file, labels, SPEC, folder), folder / "model.xml")
    decoder = BoxesDecoder(kind="boxes", labels=labels, score_floor=SCORE_FLOOR)
    return torch_network(MODEL, file, labels), labels, Runner(folder / "model.xml", decoder, "f32")


def noise(size: tuple[int, int]) -> np.ndarray:
    """Coarse, so that pictures differ for the network."""
    coarse = np.random.default_rng(size[0]).integers(0, 256, (size[0] // 8 + 1, size[1] // 8 + 1, 3), np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, axis=0).repeat(8, axis=1)[: size[0], : size[1]])


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_torch_and_the_graph_find_the_same_boxes(both, size):
    network, labels, runner = both
    want, got = torch_boxes(network, noise(size), SPEC, labels), runner.predict(noise(size))
    n, differs, px, score = distances(want, got.boxes)
    assert n > 20, "many boxes, so that suppression has something to do"
    assert (want.scores > FLOOR).sum() == (got.boxes.scores > FLOOR).sum()
    assert not differs
    assert px <= MAX_BOX_PX
    assert score <= MAX_SCORE
    assert got.score == pytest.approx(want.scores.max(), abs=MAX_SCORE)
    assert len({label for label, s in zip(got.boxes.labels, got.boxes.scores, strict=True) if s > FLOOR}) == len(labels)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_boxes_end_where_the_frame_ends_and_so_do_the_regions_of_a_verdict(both, size):
    _, _, runner = both
    height, width = size
    found = runner.predict(noise(size))
    edges = found.boxes.xyxy_px
    assert (edges[:, :2] >= 0).all()
    assert (edges[:, 2:] <= [width, height]).all()
    assert (edges[:, 2:] > edges[:, :2]).all()
    assert (edges[:, 0] == 0).any(), "some are cut at the edge"
    for region in regions_of(found, FLOOR):
        assert 0 <= region.x_px < region.x_px + region.width_px <= width
        assert 0 <= region.y_px < region.y_px + region.height_px <= height


def test_the_network_of_these_tests_gives_boxes_over_the_edge_and_empty_ones(both, torch):
    """Else the tests above would not ask what they seem to ask."""
    network, _, _ = both
    with torch.no_grad(), quiet():
        _, reach = network(letterboxed(noise((300, 400)), SPEC)[0], mode="tensor")
    assert any((one[:, 1] + one[:, 3] <= 0).any() for one in reach)
    assert any((one[0, 0, :, 0] > 16).any() for one in reach), "further left than the picture goes"


def test_the_gate_lets_the_same_through_and_counts_what_it_compared(both):
    network, labels, runner = both
    parity = check_boxes([noise(size) for size in SIZES[:3]], network, runner, SPEC, labels, 0.2)
    assert (parity.n_images, parity.count_differences, parity.label_flips) == (3, 0, 0)
    assert parity.n_boxes > 60
    assert 0 < parity.max_box_px <= MAX_BOX_PX


def test_the_gate_closes_when_torch_has_other_weights(both, torch):
    from copy import deepcopy

    from models.errors import ModelError

    network, labels, runner = both
    other = deepcopy(network)
    with torch.no_grad():
        other.bbox_head.rtm_reg[0].bias += 0.1
    with pytest.raises(ModelError, match=r"parity: torch and the IR differ: .*; at most none, .* nothing was exported"):
        check_boxes([noise((96, 96))], other, runner, SPEC, labels, 0.2)


@pytest.mark.parametrize(
    ("layer", "value"),
    [
        ("bbox_head.rtm_cls.1.bias", np.nan),
        pytest.param("bbox_head.rtm_cls.1.bias", np.inf, marks=pytest.mark.slow),
        pytest.param("bbox_head.rtm_reg.2.bias", np.nan, marks=pytest.mark.slow),
        pytest.param("backbone.stem.0.conv.weight", np.nan, marks=pytest.mark.slow),
        ("neck.out_convs.0.conv.weight", np.inf),
    ],
)
def test_a_network_that_computes_no_numbers_judges_nothing(torch, mmdet, tmp_path, layer, value):
    """Suppression drops what is NaN, and no box at all would be a good part."""
    torch.manual_seed(0)
    state = new_network(MODEL, 1).state_dict()
    state[layer].view(-1)[0] = value
    torch.save(state, tmp_path / "weights.pth")
    save_ir(export(MODEL, tmp_path / "weights.pth", ("dent",), SPEC, tmp_path), tmp_path / "model.xml")
    decoder = BoxesDecoder(kind="boxes", labels=("dent",), score_floor=SCORE_FLOOR)
    for precision in ("f32", "bf16"):
        found = Runner(tmp_path / "model.xml", decoder, precision).predict(noise((96, 120)))
        assert judge(found.score, 0.5) == ("unknown", "not_finite")


def boxes(*rows: tuple[float, float, str]) -> Boxes:
    """Of (left edge, score, label)."""
    edges = np.array([[left, 0, left + 10, 10] for left, *_ in rows], np.float32).reshape(-1, 4)
    return Boxes(edges, np.array([row[1] for row in rows], np.float32), tuple(row[2] for row in rows))


def test_boxes_are_compared_with_the_nearest_of_their_label_whatever_their_order():
    want = boxes((0, 0.9, "dent"), (50, 0.8, "dent"), (50, 0.7, "stain"))
    got = boxes((50.5, 0.75, "dent"), (50, 0.7, "stain"), (0, 0.9, "dent"))
    n, differs, px, score = distances(want, got)
    assert (n, differs) == (3, False)
    assert (px, score) == (pytest.approx(0.5), pytest.approx(0.05))


@pytest.mark.parametrize(
    ("want", "got", "differs"),
    [
        ([(0, 0.9, "dent")], [], True),
        ([], [(0, 0.9, "dent")], True),
        ([(0, 0.9, "dent")], [(0, 0.9, "stain")], True),
        ([(0, 0.9, "dent")], [(0, 0.9, "dent")] * 2, True),
        ([(0, 0.9, "dent")] * 2, [(0, 0.9, "dent")], True),
        ([(0, 0.04, "dent")], [], False),
        ([(0, FLOOR + 1e-6, "dent")], [(0, FLOOR - 1e-6, "dent")], False),
        ([], [], False),
    ],
)
def test_a_box_that_only_one_side_finds_is_a_difference_unless_it_is_below_the_floor(want, got, differs):
    assert distances(boxes(*want), boxes(*got))[1] == differs
