"""Reads an image file as a camera would have given it: uint8 (H, W, 3) BGR, whatever the file holds."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.errors import DatasetError
from models.prediction import Image

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
_FIX = "replace the file or remove it"


def is_image_name(path: Path) -> bool:
    """Whether a file's name says that it is an image. Hidden files are not."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def read_image(path: Path) -> Image:
    """The picture in `path` as uint8 (H, W, 3) BGR, in the orientation of its stored pixels.

    Grey becomes three equal channels, alpha is dropped, 16 bit is scaled by its full range whatever
    the values are: a scale guessed from the pixels would differ from image to image.
    Raises DatasetError when the file is missing, empty, cut short, no image, or holds no integers.
    """
    pixels = _decode(path)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise DatasetError(f"{path}: pixels are {pixels.dtype}, wanted 8 or 16 bit integers; save it as PNG")
    if pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4):
        raise DatasetError(f"{path}: {pixels.shape[2]} channels, wanted grey, BGR or BGR with alpha; save it as PNG")
    return _three_channels(_eight_bits(pixels))


def png_size(path: Path) -> tuple[int, int] | None:
    """Height and width that a PNG file states, read without unpacking it; None when it is no PNG."""
    with path.open("rb") as file:
        head = file.read(24)
    if len(head) < 24 or not head.startswith(b"\x89PNG\r\n\x1a\n") or head[12:16] != b"IHDR":
        return None
    return int.from_bytes(head[20:24]), int.from_bytes(head[16:20])


def _decode(path: Path) -> NDArray[np.generic]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}); {_FIX}") from error
    if not content:
        raise DatasetError(f"{path}: 0 bytes, an image was wanted; {_FIX}")
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise DatasetError(f"{path}: OpenCV refuses it ({error.err or 'no reason given'}); {_FIX}") from error
    if pixels is None or pixels.size == 0:
        raise DatasetError(f"{path}: {len(content)} bytes that are no whole image; {_FIX}")
    return pixels


def _eight_bits(pixels: NDArray[np.generic]) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint16:
        return np.asarray((pixels.astype(np.uint32) + 128) // 257, np.uint8)  # 65535 / 255 = 257
    return np.asarray(pixels, np.uint8)


def _three_channels(pixels: NDArray[np.uint8]) -> Image:
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(pixels[:, :, :3])
