"""Draws what `tests.bench.curve` measured."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.bench.curve import Point

_MARKERS = "osD^vP"


def draw(points: Sequence[Point], out: Path, title: str) -> None:
    """AUC (mean of both scratches) against milliseconds; beside it milliseconds against bank and against pixels."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (worth, bank, size) = plt.subplots(1, 3, figsize=(16, 5))
    sizes = sorted({point.size_px for point in points})
    for precision in sorted({point.precision for point in points}):
        for width in sorted({point.width for point in points}):
            for marker, size_px in zip(_MARKERS, sizes, strict=False):
                own = [p for p in points if (p.precision, p.width, p.size_px) == (precision, width, size_px)]
                if not own:
                    continue
                label, look = f"{size_px} px, {width} numbers, {precision}", {"marker": marker, "alpha": 0.8}
                worth.plot(
                    [p.best_ms for p in own], [statistics.fmean(p.auc.values()) for p in own], label=label, **look
                )
                bank.plot([p.bank for p in own], [p.best_ms for p in own], **look)
            own = [_largest(points, size_px, width, precision) for size_px in sizes]
            own = [point for point in own if point is not None]
            look = {"marker": "o", "label": f"largest bank x {width}, {precision}"}
            size.plot([p.size_px**2 / 1e3 for p in own], [p.best_ms for p in own], **look)
    worth.set(xlabel="ms in the device, least", ylabel="AUC, mean of both scratches", xscale="log", title=title)
    bank.set(xlabel="vectors in the bank", ylabel="ms in the device, least")
    size.set(xlabel="thousand pixels of a square of that side", ylabel="ms in the device, least")
    worth.legend(fontsize=5)
    size.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(out, dpi=110)
    plt.close(figure)


def _largest(points: Sequence[Point], size_px: int, width: int, precision: str) -> Point | None:
    own = [p for p in points if (p.size_px, p.width, p.precision) == (size_px, width, precision)]
    return max(own, key=lambda point: point.bank, default=None)
