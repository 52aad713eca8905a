"""What happens to a frame after its verdict has left: evidence, pictures, a candidate's look, drift, and its slot
back to the camera."""

from collections.abc import Mapping
from dataclasses import dataclass

from edge.drift import Drift
from edge.evidence import Evidence
from edge.parts import Judged
from edge.pictures import Pictures
from edge.shadow.thread import Shadow


@dataclass(frozen=True, slots=True)
class Afterwards:
    """Called on the `publish` thread."""

    evidence: Evidence | None
    pictures: Pictures | None
    drift: Drift
    shadows: Mapping[str, Shadow]  # by camera, where it is judged by a store

    def __call__(self, judged: Judged) -> None:
        """Nobody reads the frame's memory after this."""
        try:
            if self.evidence is not None:
                self.evidence.offer(judged.verdict, judged.grab.image, judged.prediction)
            if self.pictures is not None:
                self.pictures.offer(judged.verdict, judged.grab.image, judged.prediction)
            if (shadow := self.shadows.get(judged.verdict.camera)) is not None:
                shadow.offer(judged)
            self.drift.saw(judged)
        finally:
            judged.grab.release()
