"""Candidates of a study: the same options as the command line takes, refused before any work."""

from pathlib import Path

import pytest

from models.errors import ConfigError
from tests.trainer.marked import marked_set
from trainer.cli import build_parser
from trainer.fit_command import families, options_of
from trainer.options import DetectionOptions, FitOptions, SupervisedOptions
from trainer.study.candidates import all_candidates, fit_options, is_supervised, parse_candidates, read_candidates
from trainer.study.pool import Pool, Source, read_pool

D, O = Path("data"), Path("out")  # noqa: E741


def toml(tmp_path, *candidates):
    path = tmp_path / "c.toml"
    path.write_text("\n".join(f"[[candidate]]\n{one}" for one in candidates))
    return path


@pytest.fixture
def refused(tmp_path):
    def of(*candidates):
        with pytest.raises(ConfigError) as caught:
            parse_candidates(toml(tmp_path, *candidates))
        return str(caught.value)

    return of


def test_options_come_out_as_the_command_line_makes_them():
    given = {
        "image_size": 448,
        "bank": 3000,
        "cycle_time": 0.5,
        "allow_hub": True,
        "augment": "off",
        "weights": "w.pth",
    }
    typed = ["--image-size=448", "--bank=3000", "--cycle-time=0.5", "--allow-hub", "--augment=off", "--weights=w.pth"]
    argv = ["fit", "--family=anomaly", "--data=data", "--out=out", *typed]
    arguments = {k: v for k, v in vars(build_parser().parse_args(argv)).items() if k not in ("run", "family", "model")}
    assert options_of("anomaly", given, data=D, out=O) == FitOptions(**arguments)


def test_a_flag_without_a_value_is_true_or_false():
    options = options_of("detection", {"one_class": True, "merge": 3, "allow_hub": False}, data=D, out=O)
    assert options == DetectionOptions(data=D, out=O, one_class=True, merge_px=3.0)


@pytest.mark.parametrize(("family", "model"), [("classification", "timm"), ("segmentation", "unet")])
def test_options_of_families_that_learn_from_bad_pictures_name_their_family_and_its_only_model(family, model):
    made = options_of(family, {"backbone": "resnet34", "steps": 30, "batch": 4}, data=D, out=O)
    assert made == SupervisedOptions(family=family, model=model, data=D, out=O, backbone="resnet34", steps=30, batch=4)
    assert options_of(family, {"model": model}, data=D, out=O).model == model
    for strange in ("bank", "cycle_time", "merge"):
        with pytest.raises(ConfigError, match=f"--{strange.replace('_', '-')}: belongs to --family"):
            options_of(family, {strange: 1}, data=D, out=O)


def test_candidates_are_read_in_their_order(tmp_path):
    path = toml(
        tmp_path,
        'name = "a-448"\nfamily = "anomaly"\noptions = {image_size = 448}',
        'name = "boxes"\nfamily = "detection"',
    )
    first, second = read_candidates(str(path), Pool(tmp_path, (), has_boxes=False))
    assert (first.name, first.options, is_supervised(first)) == ("a-448", {"image_size": 448}, False)
    assert (second.family, second.options, is_supervised(second)) == ("detection", {}, True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            "{bnk = 3}",
            "no option 'bnk'; family anomaly has model, weights, allow_hub, image_size, policy, also, backbone, ",
        ),
        ("{bank = 0}", "argument --bank: 0: a whole number of 1 or more was wanted"),
        ("{bank = true}", "option bank: true was found, a value was wanted; see --bank of fit --help"),
        ("{allow_hub = 1}", "option allow_hub: 1 was found, true or false was wanted"),
        ("{steps = 3}", "--steps: --model patchcore has none, stfpm, supersimplenet, draem do; remove it"),
        ("{merge = 3}", "--merge: belongs to --family detection; remove it"),
        ('{model = "rtmdet-s"}', "--model rtmdet-s: not of family anomaly, which has patchcore"),
        ("{seed = 1}", "no option 'seed'"),
        ("{data = 'elsewhere'}", "no option 'data'"),
        ("{weights = 'no.pth'}", "weights no.pth: no such file"),
        ("{bank = [1]}", "options.bank"),
    ],
)
def test_an_option_that_fit_would_not_take_is_refused_by_name(refused, options, words):
    said = refused('name = "ok"\nfamily = "anomaly"', f'name = "bad"\nfamily = "anomaly"\noptions = {options}')
    assert "c.toml, candidate 2" in said
    assert words in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('name = "a"\nfamily = "magic"', "candidate 1: family"),
        ('name = "a b"\nfamily = "anomaly"', "candidate 1: name"),
        ('family = "anomaly"', "candidate 1: name: missing; wanted [[candidate]] with name, family"),
        ('name = "a"\nfamily = "anomaly"\nextra = 1', "candidate 1: extra: unknown key"),
        ("name = ", "c.toml: no TOML"),
    ],
)
def test_what_is_no_candidate_is_refused(refused, text, words):
    assert words in refused(text)


def test_two_candidates_of_one_name_are_refused(refused):
    one = 'name = "a"\nfamily = "anomaly"'
    assert "two candidates are called a" in refused(one, one)


def test_a_file_that_is_not_there_or_holds_something_else_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        parse_candidates(tmp_path / "none.toml")
    (tmp_path / "c.toml").write_text("[camera]\nname = 'top'")
    with pytest.raises(ConfigError, match=r"camera was found; wanted \[\[candidate\]\]"):
        parse_candidates(tmp_path / "c.toml")


def test_a_candidates_own_policy_goes_before_that_of_the_study(tmp_path):
    own, none = parse_candidates(
        toml(
            tmp_path,
            'name = "a"\nfamily = "anomaly"\noptions = {policy = "normal_quantile"}',
            'name = "b"\nfamily = "anomaly"',
        )
    )
    made = [fit_options(one, data=D, out=O, seed=7, policy="recall_1") for one in (own, none)]
    assert [one.policy for one in made] == ["normal_quantile", "recall_1"]
    assert [one.seed for one in made] == [7, 7]


def test_all_takes_every_family_whose_truth_is_there(tmp_path):
    with_masks = {one.family for one in all_candidates(read_pool(marked_set(tmp_path / "bars")))}
    assert with_masks == set(families())
    assert all(is_supervised(one) is (one.family != "anomaly") for one in all_candidates(read_pool(tmp_path / "bars")))
    plain = Pool(tmp_path, tuple(Source(D, f"{i}", "0" * 64, "dent") for i in range(3)), has_boxes=False)
    assert {one.family for one in all_candidates(plain)} == {"anomaly", "classification"}
    single = Pool(tmp_path, (Source(D, "1", "0" * 64, "dent", mask=D),), has_boxes=True)
    assert {one.family for one in all_candidates(single)} == {"anomaly"}


def test_all_tries_every_anomaly_model_and_patchcore_at_two_sizes_that_no_clock_chose(tmp_path):
    found = all_candidates(Pool(tmp_path, (), has_boxes=False))
    assert [one.name for one in found[:2]] == ["patchcore-320", "patchcore-448"]
    assert {one.options["model"] for one in found} == set(families()["anomaly"])
    assert all("image_size" in one.options for one in found)
    for one in found:
        fit_options(one, data=D, out=O, seed=0, policy="auto")
