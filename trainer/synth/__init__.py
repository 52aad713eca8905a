"""Synthetic photographs of screws, good and scratched, for trials without a camera. numpy and OpenCV only."""

from trainer.synth.dataset import write_dataset
from trainer.synth.scene import Defect, render_screw

__all__ = ["Defect", "render_screw", "write_dataset"]
