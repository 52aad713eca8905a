"""What repeats itself, as a thread, does not decide where a part lies."""

import cv2
import numpy as np
import pytest

from models.upright import edges_of
from tests import keys
from trainer.common_edges import common_edges, repetition
from trainer.congealing import congealed

PITCH_PX, SIDE_PX = 32, 512  # 8 cells
THREAD = slice(230, 430)  # px along the rod


def bolt(phase: float, size: float = 1.0) -> np.ndarray:
    """A rod with a head and a thread that begins anywhere, as it was rolled on the table."""
    image = np.full((SIDE_PX, SIDE_PX, 3), 200, np.uint8)
    cv2.rectangle(image, (60, 196), (100, 316), (60,) * 3, -1)
    cv2.rectangle(image, (100, 230), (440, 282), (60,) * 3, -1)
    for turn in range(8):
        x = THREAD.start + PITCH_PX * (turn + phase)
        if x < THREAD.stop:
            cv2.line(image, (round(x), 224), (round(x) + 10, 288), (150,) * 3, 10, cv2.LINE_AA)
    matrix = cv2.getRotationMatrix2D((SIDE_PX / 2, SIDE_PX / 2), 0, size)
    return cv2.warpAffine(image, matrix, (SIDE_PX, SIDE_PX), borderValue=(200,) * 3)


@pytest.fixture(scope="module")
def bolts() -> np.ndarray:
    return np.stack([edges_of(bolt(phase)) for phase in np.random.default_rng(0).permutation(8) / 8])


def strength(field: np.ndarray, columns: slice) -> float:
    """Of what lies inside the rod, at these pixels."""
    return float(np.abs(field[60:68, columns.start // 4 : columns.stop // 4]).mean())


def test_a_thread_is_seen_to_repeat_itself_along_the_rod_and_only_there(bolts):
    again = repetition(bolts)
    assert abs(again.by) == pytest.approx(PITCH_PX / 4, abs=1)
    assert abs(again.by.imag) <= 1
    assert again.where[60:68, 65:100].mean() > 0.5
    assert again.where[60:68, 12:24].mean() < 0.1  # the head
    assert again.where[54:60, 30:50].mean() < 0.1  # straight


def test_what_parts_do_not_agree_on_fades_and_what_all_have_stays(bolts):
    common = common_edges(bolts, repetition(bolts))
    assert strength(bolts[0], THREAD) > 0.3
    assert strength(common, THREAD) < 0.05
    assert np.abs(common[50:78, 12:18]).max() > 0.7  # the end of the head


def test_keys_do_not_repeat_themselves(bolts):
    assert repetition(np.stack([edges_of(image) for image in keys.anyhow(4)])) is None
    assert repetition(np.zeros_like(bolts)) is None


def test_bolts_are_laid_by_their_ends_and_not_by_their_threads():
    """Fitted thread to thread, a size would be off by up to half a turn in seven."""
    phases, sizes = np.arange(8) / 8, np.array([1, 0.96, 1.04, 1, 0.94, 1.02, 1.06, 0.98])
    fields = [edges_of(bolt(phase, size)) for phase, size in zip(phases, sizes, strict=True)]
    _, places = congealed(fields)
    found = np.log([place.size for place in places]) - np.log(sizes)
    assert np.ptp(found) < 0.06  # 0.09 where threads count
