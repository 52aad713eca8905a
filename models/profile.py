"""How each kind of device is asked to run a graph. Nothing that decides a score or a time is left to its default.

Shapes are static and the batch is 1 (`models/compiled.py`). What a plugin answers after it has compiled is compared
with what it was asked for: where that may change a score it is an error, else it is stated with the figures.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, assert_never, get_args

from models.device import Device, kind_of
from models.errors import ModelError
from models.precision import refuse_unable
from models.variant import Arithmetic, Precision

Hint = Literal["latency", "throughput"]  # OpenVINO's performance hint
Kind = Literal["CPU", "GPU", "NPU"]
Value = str | int | bool
_CAPABILITY: Final[dict[Arithmetic, str]] = {"f32": "FP32", "f16": "FP16", "bf16": "BF16"}
# What decides how fast it is, which is measured, and not what comes out.
_SPEED: Final = {
    "PERFORMANCE_HINT", "PERFORMANCE_HINT_NUM_REQUESTS", "NUM_STREAMS", "INFERENCE_NUM_THREADS",
    "ENABLE_HYPER_THREADING", "ENABLE_CPU_PINNING", "SCHEDULING_CORE_TYPE",
}  # fmt: skip
_GPU_STREAMS: Final = 2
_NPU_REQUESTS: Final = 4


@dataclass(frozen=True, slots=True)
class Profile:
    """What a plugin is asked for, by OpenVINO's names."""

    device: Device
    asked: Mapping[str, Value]
    notes: tuple[str, ...] = ()  # where that is not what the bundle's precision says


def profile_of(device: Device, precision: Precision, told: Arithmetic, hint: Hint, cores: int) -> Profile:
    """The profile of a device for a graph of that precision, which computes with `told` what is not int8.

    `cores` are those that a CPU may use. Raises ModelError for a kind of device without a profile, and where the
    device does not compute so.
    """
    kind = kind_of(device.name)
    if kind not in get_args(Kind):
        raise ModelError(f"{device.name}: no profile for such a device; set device to {', '.join(get_args(Kind))}")
    arithmetic, notes = _arithmetic(device, precision, told)
    refuse_unable(device.name, arithmetic)
    if _CAPABILITY[arithmetic] not in device.capabilities:
        raise ModelError(
            f"{device.name}: computes {', '.join(device.capabilities)}, the bundle at {precision} wants "
            f"{_CAPABILITY[arithmetic]}; choose another precision of it or another device"
        )
    asked: dict[str, Value] = {
        "INFERENCE_PRECISION_HINT": arithmetic,
        "EXECUTION_MODE_HINT": "ACCURACY" if arithmetic == "f32" else "PERFORMANCE",
        "PERFORMANCE_HINT": hint.upper(),
    }
    return Profile(device, asked | _speed(kind, hint, cores), notes)  # type: ignore[arg-type]


def _arithmetic(device: Device, precision: Precision, told: Arithmetic) -> tuple[Arithmetic, tuple[str, ...]]:
    """What it computes with: an f16 graph runs at f32 where f16 is not computed, which rounds less."""
    if precision == "f16" and told == "f16" and _CAPABILITY["f16"] not in device.capabilities:
        return "f32", (f"{device.name} does not compute f16: weights of f16, computed at f32",)
    return told, ()


def _speed(kind: Kind, hint: Hint, cores: int) -> dict[str, Value]:
    is_many = hint == "throughput"
    match kind:
        case "CPU":
            streams = cores if is_many else 1
            return {
                "NUM_STREAMS": streams,
                "PERFORMANCE_HINT_NUM_REQUESTS": streams,
                "INFERENCE_NUM_THREADS": cores,
                "ENABLE_HYPER_THREADING": False,
                "ENABLE_CPU_PINNING": True,
                "SCHEDULING_CORE_TYPE": "ANY_CORE",
            }
        case "GPU":
            streams = _GPU_STREAMS if is_many else 1
            return {"NUM_STREAMS": streams, "PERFORMANCE_HINT_NUM_REQUESTS": streams}
        case "NPU":  # it has no streams to choose
            return {"PERFORMANCE_HINT_NUM_REQUESTS": _NPU_REQUESTS if is_many else 1}
        case never:
            assert_never(never)


def deviations(profile: Profile, answers: Mapping[str, Any]) -> tuple[str, ...]:
    """Where the plugin answers otherwise than it was asked, in words. `answers` lack what it does not know.

    Raises ModelError where a score might depend on it.
    """
    words = []
    for name, wanted in profile.asked.items():
        got = plain(answers[name]) if name in answers else "nothing"
        if got == str(wanted):
            continue
        if name not in _SPEED:
            raise ModelError(
                f"{profile.device.name}: asked for {name} {wanted}, its plugin answers {got}, and scores depend on it; "
                "choose another precision or device, or see its driver"
            )
        words.append(f"{name} {got}, {wanted} was asked for")
    return tuple(words)


def plain(value: Any) -> str:
    """An answer of a plugin as it would be asked for: OpenVINO gives types and enumerations of its own."""
    if hasattr(value, "get_type_name"):
        return str(value.get_type_name())
    return str(value if isinstance(value, bool | int) else getattr(value, "name", value))
