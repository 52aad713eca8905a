"""What a processor computes with by itself. OpenVINO takes any precision, and falls back or emulates without a word."""

from pathlib import Path
from typing import Final

from models.errors import ModelError
from models.variant import Arithmetic

CPU_INFO = Path("/proc/cpuinfo")
_BF16: Final = {"avx512_bf16", "amx_bf16"}


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 by itself, as Linux tells: emulated, it is slower than f32."""
    return CPU_INFO.is_file() and not _BF16.isdisjoint(CPU_INFO.read_text(encoding="utf-8").split())


def refuse_unable(device: str, precision: Arithmetic) -> None:
    """Raises ModelError where a bundle that was measured at bf16 would be computed otherwise, or slowly."""
    if precision == "bf16" and device.split(".", maxsplit=1)[0] == "CPU" and not cpu_has_bf16():
        raise ModelError(
            f"{device}: does not compute bf16 by itself, and scores, threshold and speed were measured at bf16; "
            "fit with --precision f32 for this machine"
        )
