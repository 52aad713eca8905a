"""What a processor computes with by itself. OpenVINO takes any precision, and falls back or emulates without a word."""

from pathlib import Path
from typing import Final

from models.device import kind_of
from models.errors import ModelError
from models.variant import Arithmetic

CPU_INFO = Path("/proc/cpuinfo")
_BF16: Final = {"avx512_bf16", "amx_bf16"}


def cpu_flags() -> str:
    """What Linux says that the first processor can do; nothing where it does not say."""
    if not CPU_INFO.is_file():
        return ""
    lines = CPU_INFO.read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("flags")), "")


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 by itself: emulated, it is slower than f32."""
    return not _BF16.isdisjoint(cpu_flags().split())


def refuse_unable(device: str, precision: Arithmetic) -> None:
    """Raises ModelError where a bundle that was measured at bf16 would be computed otherwise, or slowly."""
    if precision == "bf16" and kind_of(device) == "CPU" and not cpu_has_bf16():
        raise ModelError(
            f"{device}: does not compute bf16 by itself, and scores, threshold and speed were measured at bf16; "
            "fit with --precision f32 for this machine"
        )
