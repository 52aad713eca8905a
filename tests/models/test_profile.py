"""How each kind of device is asked to run a graph: pure, so that it is tested for devices that are not here."""

import openvino as ov
import pytest

from models import precision
from models.device import Device, find_device, physical_cores, present
from models.errors import ModelError
from models.profile import deviations, profile_of

CPU = Device("CPU", "a processor", "2026", None, ("FP32", "BF16", "INT8"))
GPU = Device("GPU.1", "graphics", "2026", "24.1", ("FP32", "FP16", "INT8"))
NPU = Device("NPU", "a neural processor", "2026", "1.2", ("FP16", "INT8"))


@pytest.fixture(autouse=True)
def _has_bf16(monkeypatch):
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: True)


def asked(device: Device, at: str = "f32", told: str | None = None, hint: str = "latency", cores: int = 8) -> dict:
    return dict(profile_of(device, at, told or at, hint, cores).asked)


def test_a_cpu_is_told_all_that_decides_scores_and_times():
    assert asked(CPU) == {
        "INFERENCE_PRECISION_HINT": "f32",
        "EXECUTION_MODE_HINT": "ACCURACY",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT_NUM_REQUESTS": 1,
        "INFERENCE_NUM_THREADS": 8,
        "ENABLE_HYPER_THREADING": False,
        "ENABLE_CPU_PINNING": True,
        "SCHEDULING_CORE_TYPE": "ANY_CORE",
    }


@pytest.mark.parametrize("device", [CPU, GPU, NPU])
def test_many_frames_at_a_time_are_told_too(device):
    one, many = (asked(device, "int8", "f16" if device is NPU else "f32", hint) for hint in ("latency", "throughput"))
    assert (one["PERFORMANCE_HINT"], many["PERFORMANCE_HINT"]) == ("LATENCY", "THROUGHPUT")
    assert one["PERFORMANCE_HINT_NUM_REQUESTS"] == 1
    assert many["PERFORMANCE_HINT_NUM_REQUESTS"] > 1
    assert asked(CPU, hint="throughput", cores=6)["NUM_STREAMS"] == 6


def test_what_rounds_more_than_f32_may_be_quick_about_it():
    assert asked(CPU, "bf16")["EXECUTION_MODE_HINT"] == "PERFORMANCE"
    assert asked(GPU, "f16")["INFERENCE_PRECISION_HINT"] == "f16"
    assert asked(GPU, "int8", "f16")["EXECUTION_MODE_HINT"] == "PERFORMANCE"
    assert asked(GPU, "int8", "f32")["EXECUTION_MODE_HINT"] == "ACCURACY"


def test_int8_is_told_what_its_other_layers_are_computed_with():
    assert asked(CPU, "int8", "bf16")["INFERENCE_PRECISION_HINT"] == "bf16"
    assert asked(NPU, "int8", "f16")["INFERENCE_PRECISION_HINT"] == "f16"


@pytest.mark.parametrize(("device", "at"), [(NPU, "f32"), (NPU, "bf16"), (GPU, "bf16")])
def test_a_precision_that_a_device_does_not_compute_is_refused_with_those_that_it_does(device, at):
    with pytest.raises(ModelError, match=rf"{device.name}: computes .*FP16, INT8, the bundle at {at} wants"):
        asked(device, at)


def test_bf16_is_refused_on_a_cpu_that_would_emulate_it(monkeypatch):
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: False)
    with pytest.raises(ModelError, match="CPU: does not compute bf16 by itself"):
        asked(CPU, "int8", "bf16")


def test_f16_runs_at_f32_where_it_is_not_computed_and_that_is_said():
    """Asked for f16, this plugin would take bf16 without a word."""
    profile = profile_of(CPU, "f16", "f16", "latency", 2)
    assert profile.asked["INFERENCE_PRECISION_HINT"] == "f32"
    assert profile.notes == ("CPU does not compute f16: weights of f16, computed at f32",)
    assert profile_of(GPU, "f16", "f16", "latency", 2).notes == ()


def test_a_device_without_a_profile_is_refused():
    with pytest.raises(ModelError, match="TPU: no profile for such a device; set device to CPU, GPU, NPU"):
        asked(Device("TPU", "x", "1", None, ("FP32",)))


ANSWERS = {
    "INFERENCE_PRECISION_HINT": ov.Type.f32, "EXECUTION_MODE_HINT": "ACCURACY", "PERFORMANCE_HINT": "LATENCY",
    "NUM_STREAMS": 1, "PERFORMANCE_HINT_NUM_REQUESTS": "1", "INFERENCE_NUM_THREADS": 8, "ENABLE_HYPER_THREADING": False,
    "ENABLE_CPU_PINNING": True, "SCHEDULING_CORE_TYPE": "ANY_CORE",
}  # fmt: skip


def test_a_plugin_that_answers_what_it_was_asked_does_not_deviate():
    assert deviations(profile_of(CPU, "f32", "f32", "latency", 8), ANSWERS) == ()


def test_fewer_threads_than_asked_are_stated_as_only_the_time_depends_on_them():
    found = deviations(profile_of(CPU, "f32", "f32", "latency", 8), ANSWERS | {"INFERENCE_NUM_THREADS": 2})
    assert found == ("INFERENCE_NUM_THREADS 2, 8 was asked for",)


def test_a_speed_setting_that_the_plugin_does_not_know_is_stated():
    without = {name: value for name, value in ANSWERS.items() if name != "ENABLE_CPU_PINNING"}
    found = deviations(profile_of(CPU, "f32", "f32", "latency", 8), without)
    assert found == ("ENABLE_CPU_PINNING nothing, True was asked for",)


@pytest.mark.parametrize("answer", [{"INFERENCE_PRECISION_HINT": ov.Type.bf16}, {"EXECUTION_MODE_HINT": "PERFORMANCE"}])
def test_another_precision_than_asked_is_an_error_with_both(answer):
    with pytest.raises(ModelError, match=r"CPU: asked for \w+ \w+, its plugin answers \w+, and scores depend on it"):
        deviations(profile_of(CPU, "f32", "f32", "latency", 8), ANSWERS | answer)


def test_a_plugin_that_does_not_say_at_what_precision_it_computes_is_not_believed():
    silent = {name: value for name, value in ANSWERS.items() if name != "INFERENCE_PRECISION_HINT"}
    with pytest.raises(ModelError, match="its plugin answers nothing"):
        deviations(profile_of(CPU, "f32", "f32", "latency", 8), silent)


# This machine.


def test_the_cpu_of_this_machine_says_what_it_is():
    found = find_device("CPU")
    assert found.full_name
    assert found.plugin
    assert "FP32" in found.capabilities
    assert found.driver is None
    assert physical_cores() >= 1


@pytest.fixture
def topology(tmp_path, monkeypatch):
    """Cores as Linux would tell of them: CPU -> core, and which CPUs are of the quick kind."""

    def made(cores: dict[int, int], quick: str | None = None):
        folder = tmp_path / "system/cpu"
        for cpu, core in cores.items():
            for name, value in (("core_id", core), ("physical_package_id", 0)):
                path = folder / f"cpu{cpu}/topology/{name}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{value}\n")
        if quick is not None:
            (tmp_path / "cpu_core").mkdir()
            (tmp_path / "cpu_core/cpus").write_text(f"{quick}\n")
        monkeypatch.setattr("os.sched_getaffinity", lambda _: set(cores))
        return folder

    return made


@pytest.mark.parametrize(
    ("cores", "quick", "count"),
    [
        ({0: 0, 1: 1}, None, 2),
        ({0: 0, 1: 0, 2: 1, 3: 1}, None, 2),
        ({0: 0, 1: 0, 2: 1, 3: 1, 4: 2, 5: 3}, "0-3", 2),
        ({0: 0, 2: 1, 4: 2}, "0,2", 2),
        ({4: 2, 5: 3}, "0-3", 2),
        ({0: 0, 1: 1}, "odd", 2),
    ],
)
def test_threads_of_one_core_count_once_and_slow_cores_only_where_there_are_no_others(topology, cores, quick, count):
    assert physical_cores(topology(cores, quick)) == count


@pytest.mark.parametrize(("name", "reason"), [("GPU", r"libOpenCL|\w+"), ("NPU", "No available backend")])
def test_a_device_whose_driver_is_not_here_is_refused_with_the_reason_of_its_plugin(name, reason):
    if any(one.startswith(name) for one in present()):
        pytest.skip(f"this machine has a {name}")
    with pytest.raises(
        ModelError, match=rf"device {name}: not on this machine, which has CPU.*its plugin says: ({reason})"
    ):
        find_device(name)
