"""A bundle of 50 MB goes to boxes behind real sshd on loopback: `python -m tests.bench.push [BOXES]`.

From the command until the canary is on probation, and until all boxes are. The bundle computes next to nothing, so
this is what the way costs: SSH, Ansible, hashes and copies.
"""

import sys
import tempfile
import time
from pathlib import Path

from models.bundle import open_bundle
from tests import tiny
from tests.bench.line import line
from tests.deploy.sshd import Plant
from tests.deploy.test_push import padded

SIZE_BYTES, LIMIT_S, BOXES = 50_000_000, 60.0, 3


def main(boxes: int) -> int:
    with tempfile.TemporaryDirectory(prefix="mk-") as name:
        folder = Path(name)
        old, large = tiny.make_bundle(folder / "old.bundle"), padded(folder / "large.bundle", SIZE_BYTES)
        plant = Plant(folder, old, [f"box{number}" for number in range(boxes)])
        try:
            for box in plant.boxes.values():
                box.start()
                box.store.activate(box.store.add(old).digest)
            first_s, all_s = _pushed(plant, large)
        finally:
            plant.close()
    print(f"a bundle of {SIZE_BYTES / 1e6:.0f} MB to {boxes} boxes, one of them a canary")
    missed = line("from the command until the canary is on probation", first_s, "at most", LIMIT_S, "s")
    return missed | line("until all are", all_s, "at most", LIMIT_S * boxes, "s")


def _pushed(plant: Plant, large: Path) -> tuple[float, float]:
    """Seconds until the first and until all of the boxes have it on probation."""
    started_s, first_s = time.monotonic(), 0.0
    push = plant.popen("push", large, "--to", plant.inventory, "--no-wait", "--batch", len(plant.boxes))
    assert push.stdout is not None
    for said in push.stdout:
        if "on probation" in said:
            first_s = first_s or time.monotonic() - started_s
    assert push.wait(60) == 0
    assert {box.active for box in plant.boxes.values()} == {open_bundle(large).digest}
    return first_s, time.monotonic() - started_s


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else BOXES))
