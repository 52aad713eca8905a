"""The devices of this machine, as OpenVINO and Linux tell of them."""

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from models.errors import DeviceError

if TYPE_CHECKING:
    import openvino as ov

_TOPOLOGY: Final = Path("/sys/devices/system/cpu")
_DRIVERS: Final = ("GPU_DRIVER_VERSION", "NPU_DRIVER_VERSION")  # a CPU has none
_ASKED: Final = {"GPU": "FULL_DEVICE_NAME", "NPU": "NPU_DRIVER_VERSION"}  # of a plugin, why it finds no device


@functools.cache
def core() -> "ov.Core":
    """One for the process and for ever.

    With its last core OpenVINO's CPU plugin goes, and on some processors it then frees the stack for signals that
    it gave to the thread which loaded it: the next signal to that thread, as a SIGTERM, would end in a SIGSEGV.
    """
    import openvino as ov

    return ov.Core()


@dataclass(frozen=True, slots=True)
class Device:
    """What decides how a graph is computed, besides the graph."""

    name: str  # OpenVINO's, such as "CPU" or "GPU.0"
    full_name: str  # of the hardware
    plugin: str  # version
    driver: str | None  # of what is not a CPU
    capabilities: tuple[str, ...]  # as "FP32" or "INT8"


def present() -> list[str]:
    """OpenVINO's names of all devices of this machine."""
    return list(core().available_devices)


def find_device(name: str) -> Device:
    """Raises DeviceError when it is not on this machine, with the plugin's reason where it has one."""
    if not any(name == one or name == one.split(".")[0] for one in present()):
        why = f" (its plugin says: {reason})" if (reason := _excuse(name)) else ""
        there = ", ".join(present())
        raise DeviceError(f"device {name}: not on this machine, which has {there}; set one of these{why}")
    try:
        full_name = str(core().get_property(name, "FULL_DEVICE_NAME"))
        capabilities = tuple(core().get_property(name, "OPTIMIZATION_CAPABILITIES"))
        plugin = core().get_versions(name)[kind_of(name)].build_number
    except (RuntimeError, KeyError) as error:
        raise DeviceError(f"device {name}: does not say what it is ({short(error)}); see its driver") from error
    return Device(name, full_name, plugin, _driver(name), capabilities)


def kind_of(name: str) -> str:
    """Of "GPU.1" it is "GPU"."""
    return name.split(".", maxsplit=1)[0]


def physical_cores(topology: Path = _TOPOLOGY) -> int:
    """That this process may use: two threads of one core count once, and of two kinds of core only the quick one."""
    cpus = os.sched_getaffinity(0)
    quick = cpus & _quick_ones(topology)
    return len({_core_of(topology, cpu) for cpu in quick or cpus})


def short(error: Exception) -> str:
    """The last line that says something: OpenVINO's messages start with source positions, and with files of its own."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rpartition('.so": ')[2][:200] if lines else type(error).__name__


def _quick_ones(topology: Path) -> set[int]:
    """Where Linux tells two kinds of core apart, as "0-7,16"; nothing else."""
    try:
        text = (topology.parent.parent / "cpu_core" / "cpus").read_text(encoding="ascii").strip()
        ends = [[int(end) for end in part.split("-")] for part in text.split(",")]
    except (OSError, ValueError):
        return set()
    return {cpu for first, *last in ends for cpu in range(first, (last or [first])[0] + 1)}


def _core_of(topology: Path, cpu: int) -> tuple[str, ...]:
    folder = topology / f"cpu{cpu}" / "topology"
    try:
        return tuple((folder / name).read_text(encoding="ascii").strip() for name in ("physical_package_id", "core_id"))
    except OSError:
        return (str(cpu),)


def _driver(name: str) -> str | None:
    supported = set(core().get_property(name, "SUPPORTED_PROPERTIES"))
    found = [str(core().get_property(name, one)) for one in _DRIVERS if one in supported]
    return found[0] if found else None


def _excuse(name: str) -> str | None:
    """Why a plugin that OpenVINO knows finds no device; None for what it does not know."""
    try:
        core().get_property(kind_of(name), _ASKED[kind_of(name)])
    except KeyError:
        return None
    except RuntimeError as error:
        return short(error)
    return None
