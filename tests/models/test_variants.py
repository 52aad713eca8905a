"""Several precisions of one fit in one bundle."""

import json
from pathlib import Path

import pytest

from models.bundle import MANIFEST, MODEL_XML, open_bundle
from models.errors import BundleError, ModelError
from models.golden import check_golden
from models.runner import Runner
from models.scoring import judge
from tests import tiny
from tests.models.test_bundle import disown, edit, flip

INT8 = "int8/model.xml"


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> Path:
    """f32, and int8 with a threshold of its own."""
    return tiny.make_bundle(tmp_path_factory.mktemp("variants") / "b", variants={"int8": 0.78})


@pytest.fixture
def spare(tmp_path) -> Path:
    return tiny.make_bundle(tmp_path / "b", variants={"int8": 0.78})


def test_a_bundle_lists_its_precisions_and_reads_as_the_main_one(both, bundle):
    opened = open_bundle(both)
    assert opened.precisions == ("f32", "int8")
    assert opened.manifest.precision == "f32"
    assert opened.model_xml == both / MODEL_XML
    assert open_bundle(bundle).precisions == ("f32",)


def test_at_another_precision_graph_threshold_and_scores_are_the_variants_and_the_digest_stays(both):
    opened = open_bundle(both)
    other = opened.at("int8")
    variant = opened.manifest.variants[0]
    assert other.model_xml == both / INT8
    assert (other.digest, other.path) == (opened.digest, opened.path)
    assert other.manifest.precision == "int8"
    assert other.manifest.threshold == variant.threshold
    assert other.manifest.golden == variant.golden
    assert other.manifest.quantization == variant.quantization
    assert other.manifest.golden[0].score != opened.manifest.golden[0].score


def test_whoever_judges_needs_to_know_nothing_of_variants(both):
    """The bright one scores 0.784 at f32 and, in 64 steps, 0.778 at int8, whose threshold lies between."""
    outcomes = {}
    for one in (open_bundle(both), open_bundle(both).at("int8")):
        runner, threshold = Runner.of(one), one.manifest.threshold
        assert check_golden(one, runner).n_images == 2
        assert runner.precision == one.manifest.precision
        outcomes[runner.precision] = judge(runner.predict(tiny.frame(tiny.NG)).score, threshold.ng_at_or_above)[0]
    assert outcomes == {"f32": "ng", "int8": "ok"}


def test_the_scores_of_another_variant_are_not_taken_for_its_own(both):
    opened = open_bundle(both)
    with pytest.raises(ModelError, match=r"CPU at f32 says ok 0\.098"):
        check_golden(opened.at("int8"), Runner.of(opened))


def test_every_way_from_one_precision_to_another_leads_to_the_same_bundle(both):
    opened = open_bundle(both)
    assert opened.at("f32") == opened
    assert opened.at("int8").at("int8") == opened.at("int8")
    back = opened.at("int8").at("f32")
    assert back == opened.at("int8").main
    assert back.manifest.model_copy(update={"hint": None}) == opened.manifest
    assert opened.main == opened


def test_a_precision_that_is_not_there_is_refused_with_those_that_are(both):
    with pytest.raises(BundleError, match="b: holds f32, int8, not bf16; choose one of these"):
        open_bundle(both).at("bf16")


@pytest.mark.parametrize("name", [INT8, "int8/model.bin"])
def test_the_files_of_a_variant_are_wanted_and_verified_as_all_others(spare, name):
    flip(spare / name)
    with pytest.raises(BundleError, match=f"{name}: sha256"):
        open_bundle(spare)
    disown(spare, name)
    with pytest.raises(BundleError, match=f"names no {name}"):
        open_bundle(spare)


def test_a_bundle_from_before_there_were_variants_is_read_as_it_was_meant(spare):
    new = open_bundle(tiny.make_bundle(spare.parent / "one")).manifest
    edit(spare.parent / "one", lambda raw: [raw.pop(name) for name in ("variants", "quantization", "hint")])
    assert open_bundle(spare.parent / "one").manifest == new


def variant_of(raw: dict) -> dict:
    return raw["variants"][0]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda raw: variant_of(raw).update(precision="f32"), "precision f32 stands there twice"),
        (lambda raw: variant_of(raw).update(model=MODEL_XML), "model model.xml stands there twice"),
        (lambda raw: variant_of(raw).update(model="../x.xml"), "variants.0.model: "),
        (lambda raw: variant_of(raw).update(model="int8/model.bin"), "variants.0.model: "),
        (lambda raw: variant_of(raw)["golden"].pop(), "variant int8 has other golden images"),
        (lambda raw: variant_of(raw)["golden"][0].update(file="golden/x.png"), "int8 has other golden images"),
        (lambda raw: variant_of(raw).update(golden=[]), "variants.0.golden: "),
        (lambda raw: variant_of(raw).update(hint="int8"), "variants.0.hint: "),
        (lambda raw: variant_of(raw).update(decoder={}), "variants.0.decoder: unknown key"),
        (lambda raw: variant_of(raw)["parity"].update(n_images=0), "variants.0.parity.n_images: "),
        (lambda raw: variant_of(raw)["quantization"].update(images=[]), "variants.0.quantization.images: "),
        (lambda raw: variant_of(raw)["quantization"]["after"].update(auc=1.1), "variants.0.quantization.after.auc"),
        (lambda raw: raw.update(precision="int8", variants=[]), "precision int8 without a hint"),
    ],
)
def test_variants_that_do_not_belong_together_are_refused_and_named(spare, change, complaint):
    edit(spare, change)
    with pytest.raises(BundleError) as caught:
        open_bundle(spare)
    assert complaint in str(caught.value)
    assert str(caught.value).startswith(f"{spare / MANIFEST}: ")


def test_a_parity_of_another_family_does_not_belong_to_a_variant(spare):
    boxes = {"n_images": 1, "n_boxes": 1, "count_differences": 0, "max_box_px": 0, "max_score": 0, "label_flips": 0}
    edit(spare, lambda raw: variant_of(raw).update(parity=boxes))
    with pytest.raises(BundleError, match="family anomaly with a parity of BoxParity"):
        open_bundle(spare)


def test_int8_may_be_the_main_precision_when_the_rest_is_told(tmp_path):
    folder = tiny.make_bundle(tmp_path / "b")
    edit(folder, lambda raw: raw.update(precision="int8", hint="f32"))
    opened = open_bundle(folder)
    assert opened.manifest.arithmetic == "f32"
    assert Runner.of(opened).precision == "int8"
    assert json.loads((folder / MANIFEST).read_bytes())["variants"] == []
