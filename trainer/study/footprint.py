"""`python -m trainer.study.footprint BUNDLE HEIGHT WIDTH`: bytes by which a fresh process grows as it runs it."""

import resource
import sys
from pathlib import Path

import numpy as np


def main(bundle: Path, height_px: int, width_px: int) -> int:
    """What is resident afterwards less what was before, with OpenVINO loaded already."""
    import openvino

    from models.bundle import open_bundle
    from models.runner import Runner

    openvino.Core()
    opened = open_bundle(bundle)
    frame = np.zeros((height_px, width_px, 3), np.uint8)
    before = _resident()
    runner = Runner.of(opened)
    runner.predict(frame)
    return _resident() - before


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    sys.stdout.write(str(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
