"""What `mekiki-deploy pull` brings from a box: evidence with answers, written by the code of the box."""

from pathlib import Path

import cv2
import numpy as np

from edge.evidence import write_frame
from edge.review import Reviews
from models.prediction import Image
from models.review import KeptVerdict, Said
from models.verdict import Stages

DAY = "2026-05-17"
NOON_NS = 1_779_019_200_000_000_000
STAGES = Stages(read_s=0, queue_s=0, infer_s=0, decode_s=0, total_s=0)


def noise(seed: int, side_px: int = 64) -> Image:
    """Pictures none of which looks like another."""
    return np.random.default_rng(seed).integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)


class PulledBox:
    """A box's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reviews = Reviews(folder)
        self._seq = 0

    def part(self, image: Image, outcome: str = "ng", score: float = 0.6) -> str:
        """A part that was kept; its key."""
        verdict = KeptVerdict.model_validate(
            {
                "epoch": "20260517T120000Z-ab12", "camera": "top", "seq": self._seq, "outcome": outcome,
                "reason": {"ok": None, "ng": "defect", "unknown": "review"}[outcome], "score": score, "threshold": 0.5,
                "bundle": "a" * 64, "device": "CPU", "precision": "f32", "captured_at_ns": NOON_NS + self._seq,
                "captured_ns": 5, "stages": STAGES, "asked_for": "band",
            }
        )  # fmt: skip
        key = f"{DAY}/{verdict.epoch}_top_{self._seq}"
        self._seq += 1
        (self.folder / "evidence" / DAY).mkdir(parents=True, exist_ok=True)
        picture = cv2.imencode(".png", image)[1].tobytes()
        write_frame(self.folder / "evidence" / key, {".png": picture, ".json": verdict.model_dump_json().encode()})
        return key

    def say(self, key: str, said: Said, by: str = "sato", kind: str | None = None) -> None:
        self.reviews.say(self.reviews.find(key), said, by, kind)

    def reviewed(self, image: Image, said: Said, outcome: str = "ng", by: str = "sato", kind: str | None = None) -> str:
        """A part and one answer."""
        key = self.part(image, outcome)
        self.say(key, said, by, kind)
        return key
