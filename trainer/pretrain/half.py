"""State dicts as they ship: half as large. `python -m trainer.pretrain.half WEIGHTS OUT` does it to a file."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from typing import Any

from models.files import write_whole


def write_half(state: dict[str, Any], out: Path) -> None:
    """Writes a state dict with its floats as FP16; whole or not at all."""
    import torch

    content = BytesIO()
    torch.save({n: (v.half() if v.is_floating_point() else v).cpu().contiguous() for n, v in state.items()}, content)
    write_whole(out, content.getvalue())


if __name__ == "__main__":
    from trainer.backbone import read_state

    write_half(read_state(Path(sys.argv[1])), Path(sys.argv[2]))
