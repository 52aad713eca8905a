"""Made-up manufactured parts of any shape and material, good and damaged. numpy and OpenCV only."""

from trainer.synth.parts.dataset import write_parts
from trainer.synth.parts.render import KINDS, Damage, Photo, render_part

__all__ = ["KINDS", "Damage", "Photo", "render_part", "write_parts"]
