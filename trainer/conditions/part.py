"""Where the part lies, without a model: what differs from the border of its picture, where background is seen.

The background is a smooth surface laid through the border, because light falls off to the sides, and what the border
itself differs from it says how much difference means nothing. Where the border differs as much as the middle does,
the whole picture is a texture, and there is no background.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from models.prediction import Image

F32 = NDArray[np.float32]
Mask = NDArray[np.uint8]
_SIDE_PX = 320  # longer side of the picture that is looked at
_RIM = 0.02  # of the sides: the border
_BORDER_SAMPLES = 1200
_QUIET = 3.0  # grey levels that noise may differ by, at least
_FLOOR = 3.0  # times the border's own spread: less than that is background
_SURE = 5.0
_SHADOW = (0.6, 0.99)  # of the background's light is left in a shadow
_TINT = 0.06  # by which colours may shift in it
_STEP, _STEP_SHARE = 8.0, 0.12  # between neighbours, grey levels and of the part's contrast: a shadow is smooth
_CLOSE = 0.02  # of the longer side: gaps that belong to the part
_SMALLEST = 0.03  # of the largest piece: smaller ones are dirt
_LEAST, _MOST = 0.004, 0.85  # share of the picture that a part covers
_TEXTURE = 0.35  # share of the border that differs, against that of the whole
_WHOLE = 0.6  # share of the largest piece: a texture falls into many
_RAGGED = 11.0  # outline in roots of the area; a circle has 3.5, a gear 8
_TERMS = ((0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0))  # powers of y and x: a surface of second degree
_AROUND = 0.006  # of the longer side: what belongs to the part beyond its outline


def find_part(image: Image) -> Mask | None:
    """The part in `image`, uint8 (H, W, 3) BGR, as a mask, uint8 (H, W), 255 on it and 0 beside it.

    None where no background can be told. Generous: holes are filled and a few pixels around it belong to it, shadows
    only where they cannot be told from it.
    """
    height, width = image.shape[:2]
    scale = min(1.0, _SIDE_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    seen = _on_part(small)
    if not _LEAST <= seen.mean() <= _MOST or _at_border(seen) > _TEXTURE * seen.mean():
        return None
    solid = _solid(seen.astype(np.uint8))
    if solid is None:
        return None
    wide = cv2.dilate(solid, _oval(_AROUND * max(size)))
    full = cv2.resize(wide * np.uint8(255), (width, height), interpolation=cv2.INTER_LINEAR)
    return cast(Mask, (full > 127).astype(np.uint8) * np.uint8(255))


def has_background(image: Image) -> bool:
    """Whether a part can be told from what lies around it; not in a picture that is one texture."""
    return find_part(image) is not None


def _on_part(small: Image) -> NDArray[np.bool_]:
    """Pixels that differ from the background and are no shadow on it."""
    soft = np.asarray(cv2.GaussianBlur(small, (0, 0), 0.8), np.float32)
    ground, spread = _background(soft)
    away = soft - ground
    far = np.sqrt(sum(layer**2 for layer in cv2.split(away / np.maximum(spread, _QUIET))))
    otsu = max(_otsu(far), _SURE)
    low = max(_FLOOR, 1.2 * float(np.quantile(far[_rim(*far.shape)], 0.95)), 0.25 * otsu)
    sure = far > otsu
    contrast = float(np.median(np.abs(away[sure]).mean(axis=1))) if sure.any() else 0.0
    return np.asarray((far > min(low, otsu)) & ~_is_shadow(soft, ground, contrast))


def _otsu(far: F32) -> float:
    """Otsu's threshold between background and part."""
    scale = 255 / max(float(np.quantile(far[::2, ::2], 0.995)), 1)  # a highlight must not squeeze the rest
    levels = np.minimum(far * scale, 255).astype(np.uint8)
    return float(cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[0]) / scale


def _background(soft: F32) -> tuple[F32, F32]:
    """The surface of second degree through the border, (h, w, 3), and the spread of the border around it, (3,).

    What lies at the border and differs, as a part that is cut off does, loses its weight in three rounds.
    """
    height, width = soft.shape[:2]
    rows, columns = np.nonzero(_rim(height, width))
    step = max(1, len(rows) // _BORDER_SAMPLES)
    rows, columns = rows[::step], columns[::step]
    found = soft[rows, columns]
    across, down = _powers(width), _powers(height)
    terms = np.stack([down[rows, i] * across[columns, j] for i, j in _TERMS], axis=1)
    weight = _near(np.abs(found - np.median(found, axis=0)))
    for _ in range(3):
        factors = np.linalg.lstsq(terms * weight[:, None], found * weight[:, None], rcond=None)[0]
        apart = np.abs(found - terms @ factors)
        weight = _near(apart)
    table = np.zeros((3, 3, 3), np.float32)  # power of y, power of x, colour
    for (i, j), factor in zip(_TERMS, factors, strict=True):
        table[i, j] = factor
    layers = [down @ table[:, :, colour] @ across.T for colour in range(3)]
    return np.asarray(cv2.merge(layers), np.float32), np.asarray(1.4826 * np.median(apart, axis=0), np.float32)


def _near(apart: F32) -> F32:
    """1 for samples (n, 3) as near as most, next to nothing for others; (n,)."""
    usual = np.maximum(1.4826 * np.median(apart, axis=0), 1)
    return np.where((apart < 3 * usual).all(axis=1), 1, 1e-3).astype(np.float32)


def _powers(count: int) -> F32:
    """1, x, x squared for x from -1 to 1: (count, 3)."""
    x = np.linspace(-1, 1, count, dtype=np.float32)
    return np.stack([np.ones_like(x), x, x * x], axis=1)


def _rim(height: int, width: int) -> NDArray[np.bool_]:
    wide, high = max(1, round(_RIM * width)), max(1, round(_RIM * height))
    rim = np.ones((height, width), bool)
    rim[high : height - high, wide : width - wide] = False
    return rim


def _at_border(seen: NDArray[np.bool_]) -> float:
    """Share of the border that is seen, on the side with the second least: a part may run through a picture."""
    high, wide = (max(1, round(_RIM * side)) for side in seen.shape)
    sides = (seen[:high], seen[-high:], seen[:, :wide], seen[:, -wide:])
    return sorted(float(side.mean()) for side in sides)[1]


def _is_shadow(soft: F32, ground: F32, contrast: float) -> NDArray[np.bool_]:
    """Darker than the background in all colours alike, and smooth against the part's edge, a step of `contrast`."""
    blue, green, red = cv2.split(soft / np.maximum(ground, 1))
    darkest, brightest = np.minimum(np.minimum(blue, green), red), np.maximum(np.maximum(blue, green), red)
    grey = cv2.cvtColor(soft, cv2.COLOR_BGR2GRAY)
    step = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    dark = (darkest > _SHADOW[0]) & (brightest < _SHADOW[1])
    return np.asarray(dark & (brightest - darkest < _TINT) & (step < max(_STEP, _STEP_SHARE * contrast)))


def _solid(seen: Mask) -> Mask | None:
    """Without specks, gaps and holes: 0 or 1. None where the pieces are no part: too many, or too ragged."""
    closed = cv2.morphologyEx(seen, cv2.MORPH_CLOSE, _oval(_CLOSE * max(seen.shape)))
    outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    areas = np.array([cv2.contourArea(outline) for outline in outlines])
    kept = [outline for outline, area in zip(outlines, areas, strict=True) if area >= _SMALLEST * areas.max()]
    length = sum(cv2.arcLength(outline, closed=True) for outline in kept)
    if areas.max() < _WHOLE * areas.sum() or length > _RAGGED * np.sqrt(areas.sum()):
        return None
    return np.asarray(cv2.drawContours(np.zeros_like(seen), kept, -1, 1, cv2.FILLED), np.uint8)


def _oval(reach_px: float) -> Mask:
    reach = 2 * max(1, round(reach_px)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)), np.uint8)
