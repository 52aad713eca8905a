"""The trade-off as a curve: what passes and what is rejected, at every threshold."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from models.errors import ConfigError
from models.files import write_whole
from trainer.export import refuse_existing
from trainer.threshold import lower_bound, upper_bound

SUFFIXES = (".png", ".svg", ".pdf")
_COLOURS = {"shipped": "grey", "new": "crimson"}


def check_plot(path: Path) -> None:
    """Raises ConfigError where the picture cannot be written, or would overwrite something."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: a picture ending in {', '.join(SUFFIXES)} was wanted; name it so")
    refuse_existing(path, "--plot")


def draw_tradeoff(
    path: Path, good: Sequence[float], defect: Sequence[float], marked: Mapping[str, float], title: str
) -> None:
    """Writes recall and the share of good parts rejected over the threshold, with 95 % bounds and what is marked."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    scores = np.unique([*good, *defect, *marked.values()])
    figure, axes = plt.subplots(figsize=(8, 4.2), dpi=120)
    for name, of, bound, colour in (
        ("recall", defect, lower_bound, "tab:green"),
        ("good parts rejected", good, upper_bound, "tab:orange"),
    ):
        counts = len(of) - np.searchsorted(np.sort(of), scores)  # as `judge` has it: at the threshold is `ng`
        bounds = {count: bound(count, len(of)) for count in set(counts.tolist())}
        shares, proven = counts / len(of), [bounds[count] for count in counts.tolist()]
        # Up to and including a score the part is rejected: the step is after it.
        axes.plot(scores, shares, drawstyle="steps-pre", color=colour, label=f"{name} (n = {len(of)})")
        axes.fill_between(scores, shares, proven, step="pre", color=colour, alpha=0.15, linewidth=0)
    for name, at in marked.items():
        line = "--" if "review" in name else "-"
        axes.axvline(at, color=_COLOURS[name.split()[0]], linestyle=line, label=f"{name} {at:.3g}")
    axes.set(xlabel="threshold (ng at or above)", ylabel="share, shaded: 95 % bound", title=title, ylim=(-0.02, 1.02))
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    drawn = io.BytesIO()
    figure.savefig(drawn, format=path.suffix.lower()[1:])
    plt.close(figure)
    write_whole(path, drawn.getvalue())
