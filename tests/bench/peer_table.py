"""One table and one plot of what `tests.bench.peer` and `tests.bench.peer_boxes` left in out/bench/peer; the limits.

`python -m tests.bench.peer_table` measures nothing; `make bench-peer` runs all of them.
"""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from tests.bench.line import line
from tests.bench.race import Row, folder_of, written

FASTER = {1_638: 6.0, 8_000: 7.0}  # than the stock peer, by the vectors in the bank
APART, OVER, AROUND_MS = 0.005, 1.15, 0.3


def main() -> int:
    folder = folder_of("peer")
    rows = [Row(**one) for path in sorted(folder.glob("*.json"), key=_order) for one in json.loads(path.read_text())]
    if not rows:
        print("nothing measured yet: python -m tests.bench.peer 256 1638")
        return 0
    print(written(rows))
    _draw(rows, folder / "peer.png")
    print(f"plot: {folder / 'peer.png'}")
    _say_cold_start(folder.parent / "cold_start.json")
    settings = sorted({(row.size_px, row.bank) for row in rows if row.bank is not None})
    return max(
        [_limits([row for row in rows if (row.size_px, row.bank) == setting]) for setting in settings], default=0
    )


def _say_cold_start(found: Path) -> None:
    if found.is_file():
        for words, taken in json.loads(found.read_text()).items():
            print(f"process start to first verdict, {words}: {statistics.median(taken):.2f} s")


def _order(path: Path) -> tuple[str, ...]:
    return tuple(part.rjust(9) for part in path.stem.split("-"))


def _limits(rows: Sequence[Row]) -> int:
    """Of one size and bank: whole frames, like for like with the stock peer."""
    whole = [row for row in rows if row.kind == "ours" and row.what == "whole frame"]
    stock, exact = (next(row for row in rows if wanted(row)) for wanted in (_is_stock, _is_exact))
    best, where = min(whole, key=lambda row: row.ms), f"{exact.size_px} px, {exact.bank} vectors"
    missed = line(f"{where}: stock / {best.precision}", stock.ms / best.ms, "at least", FASTER[exact.bank or 0], "")
    for row in whole:
        limit = next(one for one in rows if (one.kind, one.what, one.precision) == ("limit", row.what, row.precision))
        apart = statistics.fmean(exact.auc.values()) - statistics.fmean(row.auc.values())
        missed |= line(f"{where}: AUC of both scratches, f32 less {row.precision}", apart, "at most", APART, "")
        missed |= line(f"{where}: {row.precision}, end to end / bare", row.ms / limit.ms, "at most", OVER, "")
        missed |= line(f"{where}: {row.precision}, Python around the device", row.around_ms, "at most", AROUND_MS, "ms")
    return missed


def _is_stock(row: Row) -> bool:
    return row.kind == "peer"  # the first: as it computes by itself, its own graph resizing


def _is_exact(row: Row) -> bool:
    return (row.kind, row.what, row.precision) == ("ours", "whole frame", "f32")


def _draw(rows: Sequence[Row], out: Path) -> None:
    """Milliseconds of every way, a panel for each size and bank; AUC beside the bar."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    settings = list(dict.fromkeys((row.size_px, row.bank) for row in rows))
    figure, axes = plt.subplots(len(settings), 1, figsize=(9, 2.6 * len(settings)), squeeze=False)
    colours = {"ours": "tab:green", "limit": "tab:olive", "peer": "tab:red", "torch": "tab:gray"}
    for axis, setting in zip(axes[:, 0], settings, strict=True):
        own = [row for row in rows if (row.size_px, row.bank) == setting][::-1]
        names = [f"{row.kind} {row.what} {row.precision}" for row in own]
        bars = axis.barh(names, [row.ms for row in own], color=[colours[row.kind] for row in own])
        axis.bar_label(bars, [" / ".join(f"{value:.3f}" for value in row.auc.values()) for row in own], fontsize=6)
        axis.set_title(f"{setting[0]} px" + ("" if setting[1] is None else f", {setting[1]} vectors"), fontsize=8)
        axis.tick_params(labelsize=6)
        axis.set_xlabel("ms", fontsize=6)
    figure.tight_layout()
    figure.savefig(out, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    raise SystemExit(main())
