"""The graph that ships, against brute force and against torch."""

from dataclasses import replace

import numpy as np
import pytest

from models.bundle import MODEL_XML
from models.errors import DatasetError, ModelError
from models.images import read_image
from models.manifest import Augmentation, PatchcoreDecoder
from models.patchcore import OUTPUT
from models.resize import for_frames
from models.runner import Runner
from tests import tiny
from tests.trainer.conftest import BANK, new_network
from tests.trainer.plates import plate
from trainer.bank import Bank, gather, held_out_scores, make_bank
from trainer.embed import Pipeline
from trainer.export import save_ir
from trainer.narrow import principal
from trainer.parity import MAX_RELATIVE, MAX_ROUNDED, check_parity
from trainer.patchcore import Patchcore
from trainer.reading import COARSE, FINE_ALONE, decoder_for, reading_of, smoothed
from trainer.search import BANK as VECTORS
from trainer.search import FORBIDDEN, MIDDLE, bias_of, freeze_bias, with_search
from trainer.size import spec_for

PLAIN = Augmentation(angles_deg=(0,), shift=0, brightness=0)


def brute_force(vectors, bank):
    """Distance of each of (n, d) to the nearest of (m, d), in double precision."""
    return np.sqrt(((vectors[:, None].astype(np.float64) - bank[None]) ** 2).sum(axis=2).min(axis=1))


def run_graph(graph, *inputs):
    import openvino as ov

    graph = for_frames(graph, *inputs[0].shape[1:3])
    return ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(inputs)[0]


def bank_in(model_xml):
    """The vectors that a bundle of f32 searches."""
    import openvino as ov

    found = {node.get_friendly_name(): node for node in ov.Core().read_model(model_xml).get_ops()}
    return found[VECTORS].data[:, :, 0, 0] + found[MIDDLE].data[0, :, 0, 0]


@pytest.fixture(scope="module")
def net(weights) -> Patchcore:
    return new_network(weights)


@pytest.fixture(scope="module")
def embedding(net, spec):
    return net.embedding_graph(spec)


@pytest.fixture(scope="module")
def images(plates):
    return [read_image(path) for path in plates.train]


@pytest.fixture(scope="module")
def bank(embedding, images) -> Bank:
    return make_bank(embedding, images, PLAIN, BANK, seed=3)


@pytest.fixture(scope="module")
def searched(embedding, bank):
    return with_search(embedding.clone(), bank.vectors)


def vectors_of(embedding, image):
    patches = run_graph(embedding, image[None])[0]
    return patches.reshape(len(patches), -1).T


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_the_distances_of_the_graph_are_those_of_brute_force(embedding, images, precision):
    """Both graphs at f32: what is made for bf16 looks through the bank in parts."""
    bank = make_bank(embedding, images, PLAIN, 700, seed=3)
    searched = with_search(embedding.clone(), bank.vectors, precision=precision)
    image = plate(77, hole=True)
    want = brute_force(vectors_of(embedding, image), bank.vectors)
    got = run_graph(freeze_bias(searched, bank.vectors), image[None])
    assert got.shape == (1, 1, 12, 12)
    np.testing.assert_allclose(got.ravel(), want, rtol=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_no_number_is_at_no_finite_distance(value):
    import openvino as ov
    from openvino import opset13 as op

    frame = op.parameter([1, 4, 3, 3], np.float32, name="frame")
    frame.output(0).set_names({"frame"})
    bank = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    graph = freeze_bias(with_search(ov.Model([op.negative(frame)], [frame], "vectors"), bank), bank)
    vectors = np.zeros((1, 4, 3, 3), np.float32)
    vectors[0, 2, 1, 1] = value
    found = run_graph(graph, vectors)[0, 0]
    assert not np.isfinite(found[1, 1])
    assert np.isfinite(found).sum() == 8


def test_a_patch_that_is_in_the_bank_is_at_no_distance(embedding, images, bank, searched):
    distances = run_graph(freeze_bias(searched, bank.vectors), images[0][None]).ravel()
    own = {tuple(vector) for vector in bank.vectors[bank.source == 0].round(3)}
    inside = [tuple(vector) in own for vector in vectors_of(embedding, images[0]).round(3)]
    assert sum(inside) == len(own)
    assert distances[inside].max() < 0.02 * np.median(distances[~np.array(inside)])


def test_what_ships_takes_a_frame_and_nothing_else(searched, bank):
    shipped = freeze_bias(searched, bank.vectors)
    assert [names for port in shipped.inputs for names in port.get_names()] == ["frame"]
    assert shipped.outputs[0].get_names() == {OUTPUT}
    assert len(searched.inputs) == 2


def test_vectors_with_the_forbidden_bias_are_never_the_nearest(embedding, images, bank, searched):
    hidden = np.where((bank.source == 0)[None, :, None, None], FORBIDDEN, bias_of(bank.vectors)).astype(np.float32)
    got = run_graph(searched, images[0][None], hidden)
    want = brute_force(vectors_of(embedding, images[0]), bank.vectors[bank.source != 0])
    np.testing.assert_allclose(got.ravel(), want, rtol=1e-4)


def test_held_out_scores_are_higher_than_those_of_images_that_the_bank_holds(
    embedding, images, bank, searched, tmp_path
):
    decoder = decoder_for(embedding)
    save_ir(freeze_bias(searched, bank.vectors), tmp_path / MODEL_XML)
    runner = Runner(tmp_path / MODEL_XML, decoder, "f32")
    inside = [runner.predict(image).score for image in images]
    held_out = held_out_scores(searched, images, bank, decoder)
    assert all(out > within for out, within in zip(held_out, inside, strict=True))
    new = np.mean([runner.predict(plate(500 + i)).score for i in range(8)])
    assert np.mean(held_out) == pytest.approx(new, rel=0.3)


def test_the_bank_knows_which_image_each_vector_came_from(embedding, images, bank):
    for index in (0, 5):
        own = vectors_of(embedding, images[index])
        assert brute_force(bank.vectors[bank.source == index], own).max() < 1e-2


def test_views_count_as_the_image_they_were_made_of(embedding, images):
    turned = Augmentation(angles_deg=(0, 120, 240), shift=0.01, brightness=0.05)
    made = make_bank(embedding, images[:3], turned, 1_000_000, seed=0)
    assert np.bincount(made.source).tolist() == [3 * 144] * 3


def test_a_bank_out_of_one_image_alone_is_refused(embedding, images):
    """Nothing would be left to hold that image against."""
    with pytest.raises(DatasetError, match="--bank 1: what was kept comes from one image alone; raise --bank"):
        make_bank(embedding, images, PLAIN, 1, seed=0)


def test_a_network_that_gives_infinity_is_refused(spec, images, torch):
    net = new_network()
    with torch.no_grad():
        net.model.feature_extractor.feature_extractor.layer3[1].bn2.bias[0] = float("inf")
    with pytest.raises(ModelError, match="the network gives NaN or infinity on good images; give other --weights"):
        make_bank(net.embedding_graph(spec), images[:2], PLAIN, BANK, seed=0)


def test_images_of_several_sizes_go_through_one_pipeline_and_none_is_lost(embedding):
    sizes = [(128, 128), (64, 100), (128, 128), (200, 150)]
    outputs = {}
    pipeline = Pipeline(embedding, outputs.__setitem__)
    pipeline.run((i, plate(i, height_px=h, width_px=w)) for i, (h, w) in enumerate(sizes))
    assert sorted(outputs) == [0, 1, 2, 3]
    for i, (h, w) in enumerate(sizes):
        want = run_graph(embedding, plate(i, height_px=h, width_px=w)[None])[0]
        np.testing.assert_allclose(outputs[i], want, rtol=1e-3, atol=1e-4)


def test_what_fails_behind_the_pipeline_is_raised_in_front_of_it(embedding):
    def fail(_key, _output):
        raise DatasetError("found out late")

    with pytest.raises(DatasetError, match="found out late"):
        Pipeline(embedding, fail).run([(0, plate(0))])


def test_torch_and_the_fitted_ir_agree_on_images_of_native_size(fitted):
    bundle = fitted.bundle
    bank = bank_in(bundle.model_xml)
    assert bank.shape == (bundle.manifest.training.bank_vectors, 192)
    net = new_network(fitted.weights)
    learned = [read_image(path) for path in fitted.plates.train]
    net.narrow(principal(gather(net.embedding_graph(bundle.manifest.preprocess), learned, PLAIN, 0)[0], 192))
    images = [read_image(path) for path in fitted.plates.good + fitted.plates.holes]
    images += [plate(900, height_px=1024, width_px=1024), plate(901, hole=True, height_px=333, width_px=517)]

    def torch_score(image):
        return net.score(image, bundle.manifest.preprocess, bundle.manifest.decoder, bank)

    parity = check_parity(images, torch_score, Runner.of(bundle), bundle.manifest.threshold.ng_at_or_above)
    assert parity.n_images == 10
    assert parity.max_relative <= 1e-3
    assert parity.label_flips == 0


@pytest.fixture
def runner(bundle) -> Runner:
    return Runner(bundle / MODEL_XML, tiny.DECODER, "f32")


def test_the_parity_gate_lets_agreement_pass_and_says_how_close_it_was(runner):
    want = runner.predict(tiny.frame(tiny.NG)).score
    parity = check_parity([tiny.frame(tiny.NG)] * 3, lambda _: want * 1.0005, runner, 0.5)
    assert (parity.n_images, parity.label_flips) == (3, 0)
    assert parity.max_relative == pytest.approx(0.0005, rel=1e-2)


def test_the_parity_gate_refuses_a_score_that_is_too_far_off(runner):
    want = runner.predict(tiny.frame(tiny.NG)).score
    with pytest.raises(ModelError, match=r"differ by 2\.\d\de-03 of the score, 0 of 1 labels flip; .* nothing was"):
        check_parity([tiny.frame(tiny.NG)], lambda _: want * (1 + 2 * MAX_RELATIVE), runner, 0.5)


def test_the_parity_gate_refuses_a_flipped_label_however_close_the_scores(runner):
    want = runner.predict(tiny.frame(tiny.NG)).score
    with pytest.raises(ModelError, match="1 of 1 labels flip"):
        check_parity([tiny.frame(tiny.NG)], lambda _: want * (1 - 1e-6), runner, want)


@pytest.fixture
def rounding(bundle, monkeypatch) -> Runner:
    """At bf16, on every machine."""
    monkeypatch.setattr("models.precision.cpu_has_bf16", lambda: True)
    return Runner(bundle / MODEL_XML, tiny.DECODER, "bf16")


def test_at_bf16_the_parity_gate_allows_for_rounding_and_for_a_threshold_within_it(rounding):
    want = rounding.predict(tiny.frame(tiny.NG)).score
    parity = check_parity([tiny.frame(tiny.NG)], lambda _: want * (1 - 0.9 * MAX_ROUNDED), rounding, want)
    assert (parity.n_images, parity.label_flips) == (1, 1)
    assert parity.max_relative == pytest.approx(0.9 * MAX_ROUNDED, rel=0.03)


def test_at_bf16_the_parity_gate_refuses_what_rounding_does_not_explain_and_says_what_helps(rounding):
    want = rounding.predict(tiny.frame(tiny.NG)).score
    with pytest.raises(ModelError, match=r"at most 0\.02 and none were wanted: .*; try --precision f32"):
        check_parity([tiny.frame(tiny.NG)], lambda _: want * (1 + 1.5 * MAX_ROUNDED), rounding, 0.5)


def test_where_bf16_was_judged_by_its_decisions_the_parity_gate_writes_down_how_far_it_is_off(rounding, bundle):
    want = rounding.predict(tiny.frame(tiny.NG)).score * (1 + 1.5 * MAX_ROUNDED)
    parity = check_parity([tiny.frame(tiny.NG)], lambda _: want, rounding, 0.5, judged=True)
    assert parity.max_relative == pytest.approx(1.5 * MAX_ROUNDED, rel=0.05)
    with pytest.raises(ModelError, match="differ by nan of the score"):
        check_parity([tiny.frame(tiny.NG)], lambda _: float("nan"), rounding, 0.5, judged=True)
    with pytest.raises(ModelError, match=r"at most 0\.001 and none were wanted"):
        check_parity(
            [tiny.frame(tiny.NG)], lambda _: want, Runner(bundle / MODEL_XML, tiny.DECODER, "f32"), 0.5, judged=True
        )


def test_the_parity_gate_refuses_scores_that_are_no_numbers_even_where_both_say_so(tmp_path):
    broken = tiny.make_bundle(tmp_path / "nan.bundle", nan=True)
    runner = Runner(broken / MODEL_XML, tiny.DECODER, "f32")
    images = [tiny.frame(tiny.NG), tiny.frame(tiny.WHITE)]
    scores = iter([runner.predict(images[0]).score, float("nan")])
    with pytest.raises(ModelError, match="differ by nan of the score"):
        check_parity(images, lambda _: next(scores), runner, 0.5)


@pytest.mark.parametrize("backbone", ["mobilenetv3_small_100", "convnext_atto"])
def test_another_backbone_of_timm_embeds_and_agrees_with_torch(backbone, tmp_path, torch, weights):
    torch.manual_seed(0)
    net = Patchcore(backbone, None, new_network(weights).weights)
    frame = plate(0)
    spec = spec_for(64, frame)
    net.settle([frame], spec)
    embedding = net.embedding_graph(spec)
    decoder = decoder_for(embedding)
    bank = make_bank(embedding, [frame, plate(1)], PLAIN, 40, seed=0)
    assert bank.vectors.shape[0] == 40
    save_ir(freeze_bias(with_search(embedding, bank.vectors), bank.vectors), tmp_path / MODEL_XML)
    runner = Runner(tmp_path / MODEL_XML, decoder, "f32")

    def torch_score(image):
        return net.score(image, spec, decoder, bank.vectors)

    check_parity([plate(2), plate(3, hole=True)], torch_score, runner, 1e9)


def test_same_seed_same_untrained_network_and_another_seed_another(torch):
    first, again, other = (new_network(seed=seed).model.state_dict() for seed in (4, 4, 5))
    name = "feature_extractor.feature_extractor.conv1.weight"
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])


def test_the_score_is_a_mean_of_a_quarter_percent_of_the_patches(embedding):
    assert decoder_for(embedding) == PatchcoreDecoder(kind="patchcore", top_patches=1)


def test_features_of_the_finest_layer_alone_are_read_over_one_percent(embedding):
    assert reading_of(["layer2", "layer3"]) == COARSE
    assert decoder_for(embedding, reading_of(["layer2"])) == PatchcoreDecoder(kind="patchcore", top_patches=1)
    assert FINE_ALONE.share == 0.01


def test_the_graph_smooths_the_map_as_torch_does(embedding, images, bank, searched, torch):
    plain = run_graph(searched, images[0][None], bias_of(bank.vectors))[0, 0]
    calm = run_graph(with_search(embedding.clone(), bank.vectors, FINE_ALONE), images[0][None], bias_of(bank.vectors))
    want = smoothed(torch.from_numpy(plain.copy()), FINE_ALONE).numpy()
    np.testing.assert_allclose(calm[0, 0], want, rtol=1e-5)
    assert calm.max() < plain.max()
    np.testing.assert_allclose(smoothed(torch.full((9, 9), 2.5), FINE_ALONE), 2.5, rtol=1e-6)  # borders neither


@pytest.fixture(scope="module")
def half() -> np.ndarray:
    """Of twelve by twelve patches those that count: the left half, and one beside it."""
    weight = np.zeros((12, 12), np.float32)
    weight[:, :6] = weight[3, 8] = 1
    return weight


@pytest.mark.parametrize("made_for", [(COARSE, "f32"), (COARSE, "bf16"), (FINE_ALONE, "f32")], ids=str)
def test_where_only_some_patches_count_the_others_are_0_and_the_rest_is_as_it_was(
    embedding, bank, half, made_for, torch
):
    image, (reading, precision) = plate(77, hole=True), made_for
    whole = run_graph(with_search(embedding.clone(), bank.vectors), image[None], bias_of(bank.vectors))[0, 0]
    reading = replace(reading, weight=half)
    graph = with_search(embedding.clone(), bank.vectors, reading, precision)
    got = run_graph(freeze_bias(graph, bank.vectors), image[None])
    assert got.shape == (1, 1, 12, 12)
    np.testing.assert_allclose(got[0, 0], smoothed(torch.from_numpy(whole.copy()), reading).numpy(), rtol=1e-4)


def test_a_bank_like_another_keeps_the_same_patches_as_its_own_network_sees_them(embedding, images, bank, torch):
    from openvino import opset13 as op

    doubled = embedding.clone()
    result = doubled.outputs[0].get_node()
    result.input(0).replace_source_output(op.multiply(result.input_value(0), np.float32(2)).output(0))
    made = make_bank(doubled, images, PLAIN, 1, seed=3, like=bank)
    np.testing.assert_allclose(made.vectors, 2 * bank.vectors, rtol=1e-4, atol=1e-5)
    assert made.source.tolist() == bank.source.tolist()


def test_patches_that_do_not_count_are_not_in_the_bank(embedding, images, half):
    made = make_bank(embedding, images[:3], PLAIN, 1_000_000, seed=0, weight=half)
    counting = [vectors_of(embedding, image)[half.ravel() > 0] for image in images[:3]]
    np.testing.assert_allclose(made.vectors, np.concatenate(counting), rtol=1e-3, atol=1e-4)
    assert np.bincount(made.source).tolist() == [73] * 3
