"""Keys on a table, drawn: parts that can be found, and a bundle that finds them. Where each one lies is known."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.bundle import MANIFEST, MODEL_BIN, MODEL_XML
from models.files import sha256_of
from models.manifest import File, Golden, Manifest, Pose
from models.prediction import Image
from models.runner import Runner
from models.scoring import judge
from models.upright import SIDE, UPRIGHT, Field, Mask, Place, edges_of, read_upright, save_upright, seen_at
from tests import tiny

SIDE_PX = 256
TABLE, METAL, PALE, BRIGHT, SHEET = 60, 190, 222, 255, (40, 150, 200)
MARK = (-31.0, 0.0)  # where a bad key has its mark, in pixels of the key from its middle
THRESHOLD = 0.8  # of a bundle's brightest cell
VIEW_PX = (76, 166)  # a key's, its middle in the middle
LEAST_MATCH = 0.45
_DRAWN_PX = 512  # a key is drawn at this size, its unit two of these pixels


def key(
    turn_deg: float = 0.0,
    shift_px: tuple[float, float] = (0.0, 0.0),
    size: float = 1.0,
    *,
    gain: float = 1.0,
    seed: int = 0,
    shape: tuple[int, int] = (SIDE_PX, SIDE_PX),
    sheet: bool = False,
    mark: int | None = None,
) -> Image:
    """A picture (H, W) of a key: turned clockwise, its middle away from the picture's, lit, a coloured sheet under it.

    `mark` is the grey value of a round spot on a bad one.
    """
    rng = np.random.default_rng(seed)
    matrix = to_frame(turn_deg, shift_px, size, shape) @ np.array([[0.5, 0, -127.75], [0, 0.5, -127.75], [0, 0, 1]])
    metal, share = (cv2.warpAffine(plane, matrix[:2], shape[::-1], flags=cv2.INTER_AREA) for plane in _drawn(mark))
    table = np.full((*shape, 3), TABLE, np.float32)
    if sheet:
        corner = rng.integers(0, min(shape) // 2, 2)
        far = corner + rng.integers(min(shape) // 3, min(shape) // 2, 2)
        cv2.rectangle(table, corner.tolist(), far.tolist(), SHEET, -1)
    share = (share / 255)[:, :, None]
    picture = table * (1 - share) + metal[:, :, None] * share + rng.normal(0, 2, (*shape, 1))
    return np.clip(picture * gain, 0, 255).astype(np.uint8)


def to_frame(
    turn_deg: float, shift_px: tuple[float, float], size: float, shape: tuple[int, int] = (SIDE_PX, SIDE_PX)
) -> NDArray[np.float64]:
    """(3, 3): pixels of a key, from its middle, to pixels of its picture."""
    cos, sin = size * np.cos(np.deg2rad(turn_deg)), size * np.sin(np.deg2rad(turn_deg))
    across, down = (shape[1] - 1) / 2 + shift_px[0], (shape[0] - 1) / 2 + shift_px[1]
    return np.array([[cos, -sin, across], [sin, cos, down], [0, 0, 1]])


def empty(seed: int = 0) -> Image:
    """The table without a key."""
    noise = np.random.default_rng(seed).normal(0, 2, (SIDE_PX, SIDE_PX, 1))
    return np.clip(np.full((SIDE_PX, SIDE_PX, 3), TABLE) + noise, 0, 255).astype(np.uint8)


def washer(seed: int = 0) -> Image:
    """Another part."""
    image = empty(seed)
    cv2.circle(image, (SIDE_PX // 2 + seed, SIDE_PX // 2 - seed), 60, (METAL,) * 3, 22, cv2.LINE_AA)
    return image


def anyhow(count: int, seed: int = 1) -> list[Image]:
    """So many keys as they fall."""
    return [key(*pose, seed=number) for number, pose in enumerate(poses(count, seed))]


def poses(count: int, seed: int = 1) -> list[tuple[float, tuple[float, float], float]]:
    """How they lie: turn, shift and size."""
    rng = np.random.default_rng(seed)
    return [
        (float(rng.uniform(-180, 180)), (float(rng.uniform(-25, 25)), float(rng.uniform(-25, 25))), 1.0)
        for _ in range(count)
    ]


def template() -> tuple[Field, Mask]:
    """Of a key, as its edges are seen, and which pixels of a view are the key."""
    cell_px = SIDE_PX / SIDE
    shape = (round(VIEW_PX[0] / cell_px), round(VIEW_PX[1] / cell_px))
    field = seen_at(edges_of(key(0, (-5, 0))), Place(1.0, 0.0, 1.0, complex(-5 / cell_px, 0)), shape)
    solid = _drawn(None)[1]
    start = np.array([[2, 0, 255.5 - (VIEW_PX[1] - 1)], [0, 2, 255.5 - (VIEW_PX[0] - 1)]])
    laid = cv2.warpAffine(solid, start, VIEW_PX[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return field, cv2.dilate((laid > 127).astype(np.uint8), np.ones((5, 5), np.uint8))


def pose(**changed: Any) -> Pose:
    """What a manifest says of it."""
    usual = {"file": UPRIGHT, "sizes": (0.95, 1.05), "turns_deg": (-180.0, 180.0), "least_match": LEAST_MATCH}
    return Pose(**{**usual, **changed})


def make_bundle(path: Path, **changed: Any) -> Path:
    """A tiny one (`tests/tiny.py`) that lays keys upright: one with a bright mark is ng, one without is ok."""
    tiny.make_bundle(path, **{"threshold": THRESHOLD, **changed})
    save_upright(path / UPRIGHT, *template())
    old = Manifest.model_validate_json((path / MANIFEST).read_bytes())
    runner = Runner(path / MODEL_XML, old.decoder, "f32", upright=read_upright(path / UPRIGHT, pose()))
    pictures = zip(old.golden, (key(10, seed=3), key(-70, seed=4, mark=PALE)), strict=True)
    golden = tuple(_golden(path, one.file, picture, runner, old.threshold.ng_at_or_above) for one, picture in pictures)
    names = (MODEL_XML, MODEL_BIN, UPRIGHT, *(one.file for one in golden))
    files = {name: File(sha256=sha256_of(path / name), bytes=(path / name).stat().st_size) for name in names}
    manifest = old.model_copy(update={"pose": pose(), "golden": golden, "files": files})
    (path / MANIFEST).write_text(manifest.model_dump_json(indent=2), encoding="utf-8")
    return path


def _golden(path: Path, file: str, picture: Image, runner: Runner, threshold: float) -> Golden:
    tiny.write_image(path / file, picture)
    score = runner.predict(picture).score
    return Golden(file=file, score=score, outcome=judge(score, threshold)[0])


def _drawn(mark: int | None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Its brushed metal, and what of the canvas is metal."""
    solid = np.zeros((_DRAWN_PX, _DRAWN_PX), np.uint8)
    middle = _DRAWN_PX // 2
    cv2.circle(solid, (middle - 90, middle), 56, 255, -1)
    cv2.rectangle(solid, (middle - 90, middle - 16), (middle + 140, middle + 16), 255, -1)
    for left, length in ((70, 34), (110, 50)):
        cv2.rectangle(solid, (middle + left, middle), (middle + left + 24, middle + 16 + length), 255, -1)
    cv2.circle(solid, (middle - 106, middle), 18, 0, -1)
    brushed = np.random.default_rng(7).normal(0, 60, solid.shape).astype(np.float32)
    metal = METAL + cv2.GaussianBlur(brushed, (0, 0), 6, sigmaY=2)
    if mark is not None:
        place = [round(middle + 2 * along) for along in MARK]
        cv2.circle(metal, place, 24, mark, -1)
    return metal, solid.astype(np.float32)
