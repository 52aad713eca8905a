"""Puts a backbone and its second trunk into one file: `python -m trainer.pretrain.join KINDS COMPARING OUT`."""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.backbone import normalise, read_state, settle
from trainer.pretrain.half import write_half
from trainer.pretrain.lines import GOOD, Lines, render_lines
from trainer.trunks import COMPARING, new_trunk

if TYPE_CHECKING:
    import torch

_LINES, _SEED = 80, 1
_AT_A_TIME = 8  # pictures
# All that adds to the map of a ResNet's layer2: scaled together, they scale it.
_LAST = ("layer2.0.bn2.", "layer2.0.downsample.1.", "layer2.1.bn2.")


def main() -> int:
    """Joins what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("kinds", "comparing", "out"):
        parser.add_argument(name, type=Path, metavar=name.upper())
    files = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mekiki-") as folder:
        lines = render_lines(Path(folder), _LINES, _SEED, workers=2)
        write_half(join(read_state(files.kinds), read_state(files.comparing), lines), files.out)
    return 0


def join(kinds: dict[str, Any], comparing: dict[str, Any], lines: Lines) -> dict[str, Any]:
    """Both state dicts as one, the second scaled so that its features count as much in a distance as the first's.

    How much they count is their variance over good made-up parts, with statistics taken anew as a fit takes them.
    Whatever second trunk `kinds` had is gone.
    """
    first: Any = new_trunk("resnet18")
    backbone = {name: value.float() for name, value in kinds.items() if not name.startswith(COMPARING)}
    first.load_state_dict({name: backbone[name] for name in first.state_dict()})
    second: Any = new_trunk("resnet18")
    second.load_state_dict({name: value.float() for name, value in comparing.items()})
    scale = math.sqrt(variance_of(first, lines) / variance_of(second, lines))
    for name, value in second.state_dict().items():
        if name.startswith(_LAST) and name.endswith((".weight", ".bias")):
            value.mul_(scale)  # where it stands in the network
    variance_of(second, lines)  # for the statistics of what was scaled
    return backbone | {COMPARING + name: value for name, value in second.state_dict().items()}


def variance_of(trunk: torch.nn.Module, lines: Lines) -> float:
    """Summed over the channels of its map, which is averaged over neighbours as PatchCore does it.

    Sets BatchNorm's statistics to those of `lines` before.
    """
    import torch
    import torch.nn.functional as F  # noqa: N812

    settle(trunk, _good(lines))
    with torch.no_grad():
        found = torch.cat([F.avg_pool2d(trunk(pixels)[0], 3, 1, 1) for pixels in _good(lines)])
    return found.var(dim=(0, 2, 3)).sum().item()


def _good(lines: Lines) -> Iterable[torch.Tensor]:
    import torch

    for start in range(0, len(lines.pictures), _AT_A_TIME):
        bgr = np.ascontiguousarray(lines.pictures[start : start + _AT_A_TIME, GOOD - 1])
        yield normalise(torch.from_numpy(bgr).flip(-1).permute(0, 3, 1, 2).float())


if __name__ == "__main__":
    raise SystemExit(main())
