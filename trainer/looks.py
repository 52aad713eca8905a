"""What a model of family anomaly looks at: frames as they are, or the part in each, laid upright."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from models.errors import DatasetError
from models.manifest import Augmentation, Pose
from models.prediction import Image
from models.upright import Mask, Upright
from trainer.pose import measure_pose, plan_augmentation
from trainer.upright import Learned, learn_upright

MIN_IMAGES = 4  # fewer do not show what parts share
_MOST_LOST = 0.05  # of the good images


@dataclass(frozen=True, slots=True)
class Looks:
    """The same for what is learned from and for what is tested."""

    plan: Augmentation  # how what is seen is varied
    learned: Learned | None = None  # None: frames as they are
    upright: Upright | None = None

    @property
    def pose(self) -> Pose | None:
        """For the manifest."""
        return None if self.learned is None else self.learned.pose

    @property
    def mask(self) -> Mask | None:
        """(H, W), 1 where what is seen is the part; None where that is not known."""
        return None if self.learned is None else self.learned.mask

    def see(self, frame: Image) -> Image:
        """What of a frame the model gets to see."""
        return frame if self.upright is None else self.upright.view(frame).image

    def see_around(self, frame: Image) -> Image:
        """The same with what lies beside the part: pictures as a network knows them."""
        return frame if self.upright is None else self.upright.view(frame, alone=False).image

    def finds(self, frame: Image) -> bool:
        """Whether there is a part in it, as far as that is asked."""
        return self.upright is None or self.upright.view(frame).lost is None

    def on_part(self, frame: Image) -> tuple[float, float]:
        """(x, y) of a place well inside the part, in pixels; the frame's middle where nobody knows."""
        if self.upright is None:
            return frame.shape[1] / 2, frame.shape[0] / 2
        inside = cv2.distanceTransform(np.pad(self.upright.mask, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
        row, column = np.unravel_index(int(inside.argmax()), inside.shape)
        x, y = self.upright.view(frame).to_frame @ np.array([column, row, 1.0])
        return float(x), float(y)


def choose_looks(images: Sequence[Image], upright: str, augment: str, say: Callable[[str], None]) -> Looks:
    """`upright` is auto (where parts are turned against each other), on or off; `augment` as for `plan_augmentation`.

    Says what was chosen and why. Raises DatasetError where upright parts are wanted and cannot be had.
    """
    pose = measure_pose(images)
    turned = f"parts are turned against each other by up to {pose.rotation_deg:.0f} degrees"
    why_not = None if upright == "on" or pose.varies else "parts lie alike"
    if upright != "off" and why_not is None:
        found = _learned(images)
        if not isinstance(found, str):
            brightness = plan_augmentation(pose, 1, "auto").brightness
            return _upright(found, len(images), brightness, (upright, augment), turned, say)
        if upright == "on":
            raise DatasetError(f"--upright on: parts cannot be laid upright: {found}; add images, or leave it out")
        why_not = found
    plan = plan_augmentation(pose, len(images), augment)
    reason = "--upright off" if upright == "off" else why_not
    say(
        f"pose: {turned} -> {len(plan.angles_deg)} view(s) of each image (--augment {augment}); "
        f"frames are looked at as they are ({reason})"
    )
    return Looks(plan)


def _learned(images: Sequence[Image]) -> Learned | str:
    """Or why parts cannot be laid upright: also where the line would say of too many good ones that they are none."""
    if len(images) < MIN_IMAGES:
        return f"fewer than {MIN_IMAGES} good images"
    found = learn_upright(images)
    if isinstance(found, str):
        return found
    upright = found.upright()
    lost = [view.lost for image in images if (view := upright.view(image)).lost is not None]
    return f"in {len(lost)} of {len(images)} good images {lost[0]}" if len(lost) > _MOST_LOST * len(images) else found


def _upright(  # noqa: PLR0913, PLR0917
    found: Learned, n_images: int, brightness: float, asked: tuple[str, str], turned: str, say: Callable[[str], None]
) -> Looks:
    upright, augment = asked
    plan = found.plan(n_images, brightness)
    if augment == "off":
        plan = Augmentation(angles_deg=(0.0,), shift=0, brightness=0)
    height, width = found.mask.shape
    say(
        f"pose: {turned} -> they are found and laid upright, {width}x{height} px (--upright {upright}), "
        f"{len(plan.angles_deg)} view(s) of each (--augment {augment}); what lies beside a part is not looked at"
    )
    return Looks(plan, found, found.upright())
