"""The empty scene under a camera, and what differs from it. Runs in the camera's own process; no input or output.

Pictures are looked at as grey thumbnails, WIDTH_PX wide. The scene is learned as the per-pixel median of
the first LEARN_FRAMES: parts may pass meanwhile, as long as each place is empty for more than half of
the time. Its noise is their median absolute deviation (times 1.4826: a standard deviation for normal
noise). Both then follow slowly wherever no foreground is.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from models.prediction import Image

WIDTH_PX: Final = 160
LEARN_FRAMES: Final = 30
_SIGMAS, _MIN_STEP = 5.0, 6.0  # a pixel is foreground when it differs by so much noise, and so many grey values
_RATE = 0.02  # per frame: a drift of the light is absorbed within about 50 frames
_LIGHT = (0.5, 2.0)  # times as bright as learned: beyond that it is another scene
_DARK = 8.0  # grey value below which a ratio says nothing
_CURED, _CURED_FRAMES = 0.9, 10  # share of an absorbed place; frames in a row
_EVERY = slice(None, None, 2)  # a median over every fourth pixel is as good
Grey = NDArray[np.float32]
Mask = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Blob:
    """One connected piece of foreground, in shares of the frame's width and height."""

    x: float  # centroid
    y: float
    area: float  # as a share of the frame's area
    cut: bool  # touches the border: not whole
    box: tuple[int, int, int, int]  # x, y, width, height in pixels of the thumbnail


@dataclass(slots=True, eq=False)
class _Under:
    """An absorbed place, and what it looked like before."""

    place: NDArray[np.bool_]
    before: Grey
    frames: int = 0  # in a row in which it looks like that again


class Scene:
    """Learns the empty scene; `blobs` says what is in it now."""

    def __init__(self) -> None:
        self._frames: list[Grey] = []
        self._empty: Grey | None = None
        self._noise: Grey | None = None
        self._under: list[_Under] = []
        self._light = 1.0

    @property
    def learned(self) -> bool:
        """Whether parts can be seen."""
        return self._empty is not None

    @property
    def familiar(self) -> bool:
        """Whether the last picture was about as bright as the scene that was learned."""
        return _LIGHT[0] <= self._light <= _LIGHT[1]

    def look(self, image: Image, min_area: float) -> tuple[Blob, ...]:
        """The pieces of foreground in `image`, uint8 (H, W, 3) BGR, that cover at least the share `min_area` of it;
        nothing while the scene is being learned."""
        grey = _thumbnail(image)
        if self._empty is None or self._noise is None or self._empty.shape != grey.shape:
            self._learn(grey)
            return ()
        difference = self._difference(grey, self._empty)
        step = np.abs(difference)
        burst = (
            _SIGMAS * 1.4826 * float(np.median(step[_EVERY, _EVERY]))
        )  # noise of this very picture, in a burst more than learned
        mask = _cleaned((step > np.maximum(max(_MIN_STEP, burst), _SIGMAS * self._noise)).astype(np.uint8))
        self._cure(grey, mask)
        self._follow(grey, difference, mask)
        return tuple(_blobs(mask, min_area))

    def absorb(self, image: Image, blob: Blob) -> None:
        """What stands there is part of the scene from now on, until the place looks as it did before."""
        if self._empty is None:
            return
        x, y, width, height = blob.box
        place = np.zeros(self._empty.shape, np.bool_)
        place[max(0, y - 2) : y + height + 2, max(0, x - 2) : x + width + 2] = True
        self._under.append(_Under(place, self._empty.copy()))
        self._empty = np.where(place, _thumbnail(image) / self._light, self._empty).astype(np.float32)

    def _learn(self, grey: Grey) -> None:
        if self._frames and self._frames[0].shape != grey.shape:
            self._frames.clear()
        self._empty, self._noise, self._light = None, None, 1.0
        self._under.clear()
        first = self._frames[0] if self._frames else grey
        self._frames.append((grey / _ratio(grey, first)).astype(np.float32))  # flicker is no noise
        if len(self._frames) >= LEARN_FRAMES:
            stack = np.stack(self._frames)
            self._empty = np.median(stack, axis=0).astype(np.float32)
            self._noise = (1.4826 * np.median(np.abs(stack - self._empty), axis=0)).astype(np.float32)
            # One median of 30 scatters; no place is much quieter than the others.
            self._noise = np.maximum(self._noise, np.median(self._noise)).astype(np.float32)
            self._frames.clear()

    def forget(self) -> None:
        """The scene is learned anew."""
        self._empty = None

    def _difference(self, grey: Grey, empty: Grey) -> Grey:
        """Without what lamps and exposure change everywhere at once: a factor, and what is left of an offset."""
        self._light = _ratio(grey, empty)
        difference = grey - empty * self._light
        return np.asarray(difference - np.median(difference[_EVERY, _EVERY]), np.float32)

    def _follow(self, grey: Grey, difference: Grey, mask: Mask) -> None:
        if self._empty is None or self._noise is None or not self.familiar:
            return
        rate = np.float32(_RATE) * (cv2.dilate(mask, np.ones((5, 5), np.uint8)) == 0)
        self._empty += rate * (grey - self._empty)
        # 1.25 x the mean absolute deviation is a standard deviation for normal noise.
        self._noise += rate * (np.float32(1.25) * np.abs(difference) - self._noise)

    def _cure(self, grey: Grey, mask: Mask) -> None:
        """An absorbed place that looks as before is empty: what stood there has left. Not for ever at once,
        because a part that passes may look like it for a moment."""
        if self._empty is None or self._noise is None:
            return
        for under in list(self._under):
            place, before = under.place, under.before
            near = np.abs(grey - before * self._light)[place] < np.maximum(_MIN_STEP, _SIGMAS * self._noise[place])
            if near.mean() <= _CURED:
                under.frames = 0
                continue
            mask[place] = 0
            under.frames += 1
            if under.frames >= _CURED_FRAMES:
                self._empty[place] = before[place]
                self._under.remove(under)


def _thumbnail(image: Image) -> Grey:
    height_px = min(max(1, round(image.shape[0] * WIDTH_PX / image.shape[1])), 4 * WIDTH_PX)
    small = cv2.resize(image, (WIDTH_PX, height_px), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.float32)


def _ratio(grey: Grey, empty: Grey) -> float:
    """How much brighter the scene is: the median over places that are bright enough, so that a part does not count."""
    grey, empty = grey[_EVERY, _EVERY], empty[_EVERY, _EVERY]
    bright = empty > _DARK
    return float(np.median(grey[bright] / empty[bright])) or 1e-3 if bright.any() else 1.0


def _cleaned(mask: Mask) -> Mask:
    """Without single pixels, and with the gaps in a part closed."""
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    return np.asarray(cv2.morphologyEx(opened, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)), np.uint8)


def _blobs(mask: Mask, min_area: float) -> list[Blob]:
    height, width = mask.shape
    count, _, stats, centroids = cv2.connectedComponentsWithStats(mask)
    blobs = []
    for (x, y, w, h, area), (cx, cy) in zip(stats[1:count].tolist(), centroids[1:count].tolist(), strict=True):
        if area >= min_area * mask.size:
            cut = x == 0 or y == 0 or x + w == width or y + h == height
            blobs.append(Blob((cx + 0.5) / width, (cy + 0.5) / height, area / mask.size, cut, (x, y, w, h)))
    return blobs
