"""Patch vectors with fewer numbers: the same in the graph that ships, in torch and on paper."""

import numpy as np
import pytest

from models.bundle import MODEL_XML
from models.manifest import Augmentation
from models.runner import Runner
from tests.trainer.conftest import new_network
from tests.trainer.plates import plate
from tests.trainer.test_patchcore import run_graph
from trainer.anomaly.model import Facts, Lesson, Setup
from trainer.anomaly.patchcore import PatchcoreModel
from trainer.bank import gather, make_bank
from trainer.export import save_ir
from trainer.narrow import principal
from trainer.options import FitOptions
from trainer.parity import check_parity
from trainer.reading import decoder_for
from trainer.search import freeze_bias, with_search
from trainer.size import Setting, probe_cost

PLAIN = Augmentation(angles_deg=(0,), shift=0, brightness=0)


@pytest.fixture
def net(weights):
    return new_network(weights)


def test_what_differs_most_is_kept():
    rng = np.random.default_rng(0)
    patches = np.asarray(rng.standard_normal((500, 6)) * [0.1, 9, 0.1, 5, 0.1, 0.1] + 3, np.float32)
    found = principal(patches, 2)
    assert found.directions.shape == (2, 6)
    np.testing.assert_allclose(found.directions.T @ found.directions, np.diag([0, 1, 0, 1, 0, 0]), atol=0.1)
    np.testing.assert_allclose(found.middle, patches.mean(axis=0), atol=1e-5)


def test_all_numbers_reach_equally_far_as_eight_bits_share_one_grid():
    rng = np.random.default_rng(2)
    patches = np.asarray(rng.standard_normal((500, 64)) * np.geomspace(100, 1, 64), np.float32)
    found = principal(patches, 32)
    reach = np.abs((patches - found.middle) @ found.directions.T).max(axis=0)
    assert reach.max() < 4 * reach.min()


def test_all_directions_together_change_no_distance():
    patches = np.random.default_rng(1).standard_normal((50, 5)).astype(np.float32)
    turned = (patches - principal(patches, 5).middle) @ principal(patches, 5).directions.T
    before, after = (np.linalg.norm(points[:, None] - points, axis=2) for points in (patches, turned))
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_the_graph_gives_what_the_directions_say(net, spec):
    image = plate(0)
    wide = net.embedding_graph(spec)
    patches, _ = gather(wide, [image, plate(1)], PLAIN, 0)
    narrowing = principal(patches, 16)
    net.narrow(narrowing)
    embedded = run_graph(net.embedding_graph(spec), image[None])[0].reshape(16, -1).T
    plain = run_graph(wide, image[None])[0].reshape(patches.shape[1], -1).T
    np.testing.assert_allclose(embedded, (plain - narrowing.middle) @ narrowing.directions.T, atol=1e-3)


def test_torch_and_the_graph_agree_on_narrow_patches(net, spec, tmp_path):
    patches, _ = gather(net.embedding_graph(spec), [plate(0), plate(1)], PLAIN, 0)
    net.narrow(principal(patches, 24))
    embedding = net.embedding_graph(spec)
    decoder = decoder_for(embedding)
    bank = make_bank(embedding, [plate(0), plate(1)], PLAIN, 40, seed=0)
    assert bank.vectors.shape == (40, 24)
    save_ir(freeze_bias(with_search(embedding, bank.vectors), bank.vectors), tmp_path / MODEL_XML)
    runner = Runner(tmp_path / MODEL_XML, decoder, "f32")
    check_parity(
        [plate(2), plate(3, hole=True)], lambda image: net.score(image, spec, decoder, bank.vectors), runner, 1e9
    )


def test_a_model_learns_in_as_many_numbers_as_were_asked_for_and_the_manifest_keeps_how_many(net, spec, tmp_path):
    options = FitOptions(data=tmp_path, out=tmp_path / "out", bank=30, feature_width=20)
    model, said = PatchcoreModel(Setup(options, net.weights, None)), []
    learned = model.learn(Lesson([plate(index) for index in range(3)], PLAIN, spec), said.append)
    assert said == ["bank: 30 vectors of 20"]
    assert all(np.isfinite(learned.held_out))
    record = model.record(Facts(("0" * 64,), ((96, 96),), PLAIN, {}))
    assert (record.bank_vectors, record.feature_width) == (30, 20)


@pytest.mark.parametrize("is_upright", [False, True])
def test_the_probe_times_narrow_patches_and_leaves_the_network_as_it_was(net, spec, is_upright):
    frame = plate(0)
    mask = np.ones(frame.shape[:2], np.uint8) if is_upright else None
    resize_s, rest_s = probe_cost(net, frame, Setting(50, 16), "f32", mask)
    assert resize_s >= 0
    assert rest_s > 0
    assert net.embedding_graph(spec).outputs[0].partial_shape[1].get_length() == 384
    assert net.reading.weight is None
