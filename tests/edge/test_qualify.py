"""What a box finds out about a bundle, how it stands on record, and which precision the daemon then judges at."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge.cli import main
from edge.config import Settings
from edge.qualified import pick, qualified
from edge.qualify import How, openvino_version, qualify
from edge.record import Figures, Record, Trial, fastest, read_record, record_path, write_record
from edge.settings import load_settings
from models.bundle import Bundle, open_bundle
from models.device import find_device
from models.errors import BundleError, ModelError
from tests import tiny
from tests.edge.box import Box, Subscriber
from tests.models.test_bundle import edit


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> Path:
    """f32, and int8 whose threshold leaves the bright part `ok`."""
    return tiny.make_bundle(tmp_path_factory.mktemp("both") / "b", variants={"int8": 0.9})


@pytest.fixture
def settings(box, both) -> Settings:
    box.bundle = both
    box.images("line", [tiny.NG])
    return load_settings(box.write_folder("line"))


def trial(precision: str = "f32", p50_s: float | None = 0.01, finding: str = "qualified", **more: object) -> Trial:
    figures = None if p50_s is None else Figures(frames=1, p50_s=p50_s, p90_s=p50_s, p99_s=p50_s)
    device, openvino = find_device("CPU"), openvino_version()
    fields = {
        "at": datetime(2026, 1, 1, tzinfo=UTC), "device": "CPU", "device_name": device.full_name,
        "plugin": device.plugin, "driver": None, "openvino": openvino, "precision": precision, "figures": figures,
        "finding": finding, "why": None if finding == "qualified" else "as the test says",
    }  # fmt: skip
    return Trial(**fields | more)


def put_on_record(settings: Settings, *trials: Trial) -> Record:
    record = Record(bundle=open_bundle(settings.bundle).digest).with_trials(trials)
    write_record(settings.state, record)
    return record


def chosen(settings: Settings, budget_s: float | None = None) -> Bundle:
    return qualified(open_bundle(settings.bundle), settings, budget_s)


# The rules.


def test_the_fastest_that_is_right_and_in_time_is_picked():
    slow, quick, wrong = trial("f32", 0.02), trial("bf16", 0.01), trial("int8", 0.001, "refused")
    assert pick([slow, quick, wrong], 0.05) is quick
    assert pick([slow, quick, wrong], 0.001) is quick, "its parts will be `unknown` in time, which is no reason to stop"
    assert pick([wrong], None) is None
    assert fastest([]) is None


def test_a_later_trial_takes_the_place_of_the_one_before_it_and_others_stay():
    record = Record(bundle=tiny.ZEROS).with_trials([trial("f32", 0.02), trial("int8", 0.01)])
    assert record.fastest == "CPU at int8"
    later = record.with_trials([trial("int8", None, "refused")])
    assert [(one.precision, one.finding) for one in later.trials] == [("f32", "qualified"), ("int8", "refused")]
    assert later.fastest == "CPU at f32"


@pytest.mark.parametrize(
    "other", [{"device_name": "another"}, {"plugin": "1"}, {"driver": "24.1"}, {"openvino": "2025.0.0"}]
)
def test_a_trial_holds_for_the_same_hardware_driver_and_openvino_only(other):
    device, now = find_device("CPU"), trial().openvino
    assert trial().holds_for(device, now)
    assert not trial(**other).holds_for(device, now)


# Trying.


def test_each_precision_is_tried_and_what_the_plugin_answers_is_kept(both):
    f32, int8 = qualify(open_bundle(both), ["CPU"], ["f32", "int8"], How())
    for one in (f32, int8):
        assert (one.finding, one.why, one.golden_images) == ("qualified", None, 2)
        assert one.settings["INFERENCE_PRECISION_HINT"] == "f32"
        assert one.figures.frames > 0
        assert 0 < one.figures.p50_s <= one.figures.p90_s <= one.figures.p99_s
        assert one.device_name
        assert one.plugin


@pytest.mark.parametrize(
    ("how", "finding", "why"),
    [
        ({"devices": ["NPU"]}, "refused", "device NPU: not on this machine"),
        ({"precisions": ["bf16"]}, "refused", "holds f32, int8, not bf16"),
        ({"how": How(budget_s=1e-9)}, "slow", "ms are there from capture to verdict"),
    ],
)
def test_what_goes_wrong_stands_in_its_trial_in_words(both, how, finding, why):
    (found,) = qualify(open_bundle(both), **{"devices": ["CPU"], "precisions": ["f32"], "how": How()} | how)
    assert found.finding == finding
    assert why in found.why


def test_a_golden_image_that_comes_out_otherwise_at_one_precision_leaves_the_others(tmp_path):
    folder = tiny.make_bundle(tmp_path / "b", variants={"int8": 0.5})
    edit(folder, lambda raw: raw["variants"][0]["golden"][1].update(score=0.7))
    f32, int8 = qualify(open_bundle(folder), ["CPU"], ["f32", "int8"], How())
    assert (f32.finding, int8.finding) == ("qualified", "refused")
    assert "spot.png: CPU at int8 says ng 0.77" in int8.why


# The command.


def test_the_command_prints_a_table_and_leaves_a_record(both, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    assert main(["qualify", str(both), "--device", "CPU", "--device", "GPU"]) == 0
    out = capsys.readouterr().out
    head, *rows = out.splitlines()
    digest = open_bundle(both).digest
    assert head.startswith(f"bundle {digest[:12]} on ")
    assert rows[0].split("  ")[0] == "device"
    cells = [row.split() for row in rows[1:5]]
    found = [(row[0], row[1], row[-1]) for row in cells]
    assert found[:2] == [("CPU", "f32", "qualified"), ("CPU", "int8", "qualified")]
    assert found[2:] == [("GPU", "f32", "refused"), ("GPU", "int8", "refused")]
    assert "/s by " in rows[1]
    assert "GPU at f32, GPU at int8: device GPU: not on this machine, which has CPU" in out
    assert "fastest: CPU at " in out
    assert out.splitlines()[-1] == f"record: {record_path(tmp_path / 'state', digest)}"
    record = json.loads(record_path(tmp_path / "state", digest).read_text())
    assert {"bundle", "host", "mekiki", "trials", "fastest"} <= record.keys()
    assert record["trials"][0]["figures"]["frames_per_s"] > 0


def test_the_command_fails_when_nothing_is_qualified_and_says_so(both, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    assert main(["qualify", str(both), "--device", "NPU"]) == 1
    assert "fastest: none is qualified" in capsys.readouterr().out
    assert main(["qualify", str(both), "--budget-ms", "0.000001"]) == 1
    assert "nine of ten frames within 1e-06 ms were wanted" in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        main(["qualify", str(both), "--budget-ms", "0"])
    assert caught.value.code == 2


def test_the_command_takes_state_and_budget_from_the_settings(settings, box, both, capsys):
    box.write_folder("line", "deadline_s = 0.000001")
    assert main(["qualify", str(both), "--config", str(box.config)]) == 1
    found = read_record(settings.state, open_bundle(both).digest)
    assert {one.finding for one in found.trials} == {"slow"}
    assert "nine of ten frames within 0.001 ms were wanted" in capsys.readouterr().out


# The daemon.


def test_what_is_not_on_record_is_tried_and_put_there(settings, caplog):
    caplog.set_level("INFO")
    found = chosen(settings)
    assert "not on record for CPU at f32, int8; tried now" in caplog.text
    record = read_record(settings.state, found.digest)
    assert {one.precision for one in record.trials} == {"f32", "int8"}
    caplog.clear()
    assert chosen(settings).manifest.precision == found.manifest.precision
    assert "tried now" not in caplog.text
    assert f"CPU at {found.manifest.precision}" in caplog.text


@pytest.mark.parametrize("faster", ["f32", "int8"])
def test_the_fastest_on_record_is_chosen(settings, faster):
    put_on_record(settings, *(trial(one, 0.001 if one == faster else 0.01) for one in ("f32", "int8")))
    assert chosen(settings).manifest.precision == faster


def test_a_refused_precision_is_not_chosen_however_fast(settings):
    put_on_record(settings, trial("f32", 0.5), trial("int8", 0.001, "refused"))
    assert chosen(settings).manifest.precision == "f32"


def test_a_precision_that_was_asked_for_is_taken_though_another_is_faster(settings):
    put_on_record(settings, trial("f32", 0.5), trial("int8", 0.001))
    assert chosen(settings.model_copy(update={"precision": "f32"})).manifest.precision == "f32"
    with pytest.raises(BundleError, match="holds f32, int8, not bf16"):
        chosen(settings.model_copy(update={"precision": "bf16"}))


def test_one_that_is_too_slow_is_taken_when_no_other_is_right_and_that_is_said(settings, caplog):
    put_on_record(settings, trial("f32", 0.5), trial("int8", 0.4, "refused"))
    assert chosen(settings, budget_s=0.1).manifest.precision == "f32"
    assert "CPU at f32 is right, but slow" not in caplog.messages
    assert any("is right, but slow: CPU at f32 500.0 ms" in words for words in caplog.messages)


def test_a_record_of_another_openvino_is_none(settings, caplog):
    caplog.set_level("INFO")
    put_on_record(settings, *(trial(one, openvino="2025.0.0") for one in ("f32", "int8")))
    chosen(settings)
    assert "tried now" in caplog.text


@pytest.mark.parametrize("text", ["", "{", '{"bundle": 1}', "[]"])
def test_a_damaged_record_is_none(settings, text, caplog):
    path = record_path(settings.state, open_bundle(settings.bundle).digest)
    put_on_record(settings, trial())
    path.write_text(text)
    assert chosen(settings).manifest.precision in {"f32", "int8"}
    assert "cannot be read" in caplog.text
    assert read_record(settings.state, path.stem).trials, "it was tried again, and put on record"


def test_where_none_was_right_they_are_tried_again_and_each_reason_is_told(box):
    box.bundle = tiny.make_bundle(box.folder / "wrong", golden_error=0.1, variants={"int8": 0.5})
    box.images("line", [tiny.OK])
    settings = load_settings(box.write_folder("line"))
    for _ in range(2):
        with pytest.raises(ModelError) as caught:
            chosen(settings)
        assert "is not qualified on this box: CPU at f32: " in str(caught.value)
        assert "; CPU at int8: " in str(caught.value)


def test_a_state_that_cannot_be_written_costs_a_trial_at_each_start_and_nothing_else(settings):
    settings.state.write_text("a file")
    assert chosen(settings).manifest.precision in {"f32", "int8"}


@pytest.mark.parametrize(("precision", "outcome"), [("f32", "ng"), ("int8", "ok")])
def test_the_verdict_is_that_of_the_precision_and_names_it(settings, box: Box, precision, outcome):
    """The bright part is `ng` by the threshold of f32 and `ok` by that of int8."""
    box.write_folder(
        "line", head=f'bundle = "{box.bundle}"\nprecision = "{precision}"', bus="wait_for_subscriber_s = 20"
    )
    with Subscriber(box.address) as subscriber, box.daemon() as process:
        verdict = subscriber.next()
        _, err = process.communicate(timeout=20)
    assert (verdict["precision"], verdict["outcome"], verdict["device"]) == (precision, outcome, "CPU")
    assert verdict["threshold"] == (0.5 if precision == "f32" else 0.9)
    assert f"on CPU at {precision}" in err
    assert f"not on record for CPU at {precision}; tried now" in err
    assert len(list((box.folder / "state/compiled").glob("*.blob"))) == 1
