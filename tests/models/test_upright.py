"""Keys are found however they lie, and what is no key, or not enough of one, is not."""

import pickle
import threading
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.errors import BundleError
from models.upright import FILL, SIDE, UPRIGHT, Search, Upright, View, edges_of, on_frame, read_upright, save_upright
from tests import keys
from tests.keys import LEAST_MATCH, SIDE_PX, VIEW_PX, key

LYING = keys.poses(6, seed=9)


@pytest.fixture(scope="module")
def upright() -> Upright:
    template, mask = keys.template()
    return Upright(Search(template, (0.9, 1.12)), mask, LEAST_MATCH)


def errors_of(view: View, turn_deg: float, shift_px: tuple[float, float], size: float, shape=(SIDE_PX, SIDE_PX)):
    """By how many degrees the view is turned wrong, and how far its worst corner lies wrong, in sides of the frame."""
    wanted = keys.to_frame(turn_deg, shift_px, size, shape)
    middle = (np.array(VIEW_PX[::-1]) - 1) / 2
    corners = np.array([(x, y) for x in (0, 2 * middle[0]) for y in (0, 2 * middle[1])])
    ones = np.ones(4)
    off = view.to_frame @ np.vstack([corners.T, ones]) - wanted[:2] @ np.vstack([(corners - middle).T, ones])
    got = view.to_frame[0, 0] + 1j * view.to_frame[1, 0]
    turned = np.rad2deg(np.angle(got * np.exp(-1j * np.deg2rad(turn_deg))))
    return abs(turned), np.hypot(*off).max() / max(shape)


@pytest.mark.parametrize("lying", LYING)
@pytest.mark.parametrize(
    "how", [{}, {"sheet": True}, {"gain": 0.4}, {"gain": 1.3, "sheet": True}], ids=["plain", "sheet", "dark", "bright"]
)
def test_a_key_is_found_however_it_lies_in_whatever_light_and_with_a_sheet_under_it(upright, lying, how):
    view = upright.view(key(*lying, seed=3, **how))
    assert view.lost is None
    turned, off = errors_of(view, *lying)
    assert turned < 1
    assert off < 0.015


@pytest.mark.parametrize("size", [0.9, 0.95, 1.05, 1.12])
def test_a_key_that_is_nearer_or_farther_is_found_at_its_size(upright, size):
    view = upright.view(key(77, (12, -20), size))
    turned, off = errors_of(view, 77, (12, -20), size)
    assert view.lost is None
    assert turned < 1
    assert off < 0.015


@pytest.mark.parametrize("size", [0.88, 0.93, 1.08, 1.14])
def test_a_key_a_little_smaller_or_larger_than_any_that_was_looked_for_is_found_at_its_size(size):
    template, mask = keys.template()
    view = Upright(Search(template), mask, LEAST_MATCH).view(key(-120, (-9, 6), size, seed=1))
    turned, off = errors_of(view, -120, (-9, 6), size)
    assert view.lost is None
    assert turned < 1
    assert off < 0.015


def test_keys_are_usually_found_to_a_tenth_of_a_degree_and_half_a_cell(upright):
    """A tenth of a degree was less than what a search over fixed turns could see."""
    lying = [(turn, shift, 0.92 + 0.0075 * n) for n, (turn, shift, _) in enumerate(keys.poses(24, seed=5))]
    found = [errors_of(upright.view(key(*one, seed=n)), *one) for n, one in enumerate(lying)]
    assert np.median([turned for turned, _ in found]) < 0.1
    assert np.median([off for _, off in found]) < 0.5 / SIDE


@pytest.mark.parametrize("shape", [(200, 256), (320, 400), (400, 240)])
def test_a_frame_of_another_size_or_shape_is_looked_at_by_its_longer_side(upright, shape):
    size = max(shape) / SIDE_PX
    view = upright.view(key(-35, (5, 4), size, shape=shape))
    turned, off = errors_of(view, -35, (5, 4), size, shape)
    assert view.lost is None
    assert turned < 1
    assert off < 0.015


def test_a_key_that_lies_otherwise_than_any_did_is_not_found():
    template, mask = keys.template()
    narrow = Upright(Search(template, turns_deg=(-20.0, 20.0)), mask, LEAST_MATCH)
    assert narrow.view(key(15)).lost is None
    for turn in (90, 180, -60):
        assert narrow.view(key(turn)).lost.startswith("no part was found (match 0.")


def test_a_key_of_half_the_size_is_not_found(upright):
    assert upright.view(key(10, size=0.5)).lost.startswith("no part was found")


NO_KEYS = {
    "the empty table": keys.empty(),
    "a washer": keys.washer(),
    "black": np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8),
    "white": np.full((SIDE_PX, SIDE_PX, 3), 255, np.uint8),
    "noise": np.random.default_rng(0).integers(0, 256, (SIDE_PX, SIDE_PX, 3), np.uint8),
    "cloth": cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (SIDE_PX, SIDE_PX, 3), np.uint8), (0, 0), 3),
    "one pixel": np.zeros((1, 1, 3), np.uint8),
    "a row": np.random.default_rng(0).integers(0, 256, (1, 500, 3), np.uint8),
    "a column": np.random.default_rng(0).integers(0, 256, (16384, 2, 3), np.uint8),
}


@pytest.mark.parametrize("frame", NO_KEYS.values(), ids=NO_KEYS)
def test_where_there_is_no_key_none_is_found_and_it_says_how_little_was_like_one(upright, frame):
    view = upright.view(frame)
    assert view.lost.startswith("no part was found (match 0.")
    assert view.lost.endswith("0.45 was wanted)")
    assert view.image.shape == (*VIEW_PX, 3)


def test_a_key_that_lies_partly_beyond_the_frame_is_lost_where_it_is_more_than_three_hundredths(upright):
    assert upright.view(key(0, (58, 0))).lost is None
    found = [upright.view(key(0, (away, 0))) for away in (80, 90, 100)]
    shares = [int(view.lost.split("%")[0]) for view in found]
    assert shares == sorted(shares, reverse=True)
    assert all(50 < share < 90 for share in shares)
    assert found[0].lost.endswith("% of the part lie in the picture, 97% were wanted")


def test_what_lies_beyond_the_frame_is_filled_and_known(upright):
    frame = key(0, (68, 0))
    view = upright.view(frame, alone=False)
    inside = view.in_frame(*VIEW_PX, frame)
    assert 0.85 < inside.mean() < 0.97
    assert (view.image[:, -3:] == FILL).all()
    assert not inside[:, -3:].any()
    assert inside[:, :100].all()


def test_a_key_is_seen_alone_or_with_what_lies_beside_it(upright):
    frame = key(50, (10, 10), sheet=True, seed=5)
    beside = upright.mask == 0
    assert (upright.view(frame).image[beside] == FILL).all()
    around = upright.view(frame, alone=False).image
    assert (around[beside] != FILL).any(axis=1).mean() > 0.5
    on_part = around.astype(int)[~beside] - upright.view(frame).image[~beside]
    assert np.abs(on_part).max() <= 1  # laid in strips: a pixel in thousands is rounded otherwise


def test_keys_look_alike_once_they_are_upright(upright):
    first, *others = (upright.view(key(*lying, seed=n)).image.astype(float) for n, lying in enumerate(LYING))
    inside = cv2.erode(upright.mask, np.ones((9, 9), np.uint8)) > 0
    assert max(np.abs(first - other)[inside].mean() for other in others) < 6
    assert np.abs(first - first[:, ::-1])[inside].mean() > 12


LAYOUTS = {
    "mirrored": lambda image: image[:, ::-1],
    "channels reversed": lambda image: image[:, :, ::-1],
    "a window": lambda image: image[3:250, 2:251],
    "turned": lambda image: image.transpose(1, 0, 2),
    "Fortran order": np.asfortranarray,
    "of BGRA": lambda image: np.dstack([image, image[:, :, :1]])[:, :, :3],
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_frame_in_any_memory_layout_and_one_that_may_not_be_written_is_laid_as_its_plain_copy(upright, layout):
    frame = layout(key(20, seed=2))
    plain = np.ascontiguousarray(frame).copy()
    frame.flags.writeable = False
    assert (upright.view(frame).image == upright.view(plain).image).all()
    assert (frame == plain).all()


def test_threads_may_share_one(upright):
    frames = [key(*lying, seed=2) for lying in LYING[:4]]
    alone = [upright.view(frame).image for frame in frames]
    same: list[bool] = []

    def work(number: int) -> None:
        same.extend((upright.view(frames[number]).image == alone[number]).all() for _ in range(6))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert same == [True] * 24


@pytest.mark.parametrize("lying", LYING[:3])
@pytest.mark.parametrize("shape", [(SIDE_PX, SIDE_PX), (300, 400)])
def test_a_hot_cell_of_a_view_lies_in_the_frame_where_it_was_seen(upright, lying, shape):
    lying = (*lying[:2], lying[2] * max(shape) / SIDE_PX)
    frame = key(*lying, shape=shape)
    view = upright.view(frame)
    heat = np.zeros((19, 41), np.float32)
    heat[5, 30] = 7
    laid = on_frame(heat, view, frame.shape)
    row, column = np.unravel_index(laid.argmax(), laid.shape)
    got = [(column + 0.5) * shape[1] / laid.shape[1], (row + 0.5) * shape[0] / laid.shape[0]]
    cell_px = VIEW_PX[1] / 41
    wanted = view.to_frame @ [30.5 * cell_px - 0.5, 5.5 * VIEW_PX[0] / 19 - 0.5, 1]
    assert np.hypot(*(got - wanted)) < 1.2 * cell_px * lying[2]
    assert laid.dtype == np.float32
    assert 2 < laid.max() <= 7


def test_where_a_view_did_not_look_the_frame_is_cold(upright):
    frame = key(30)
    laid = on_frame(np.ones((19, 41), np.float32), upright.view(frame), frame.shape)
    assert (laid[0] == 0).all()
    assert laid[laid.shape[0] // 2, laid.shape[1] // 2] == pytest.approx(1)


# ---- the file


@pytest.fixture
def file(tmp_path) -> Path:
    save_upright(tmp_path / UPRIGHT, *keys.template())
    return tmp_path / UPRIGHT


def test_what_was_saved_is_read_and_sees_the_same(file):
    template, mask = keys.template()
    again = read_upright(file, keys.pose())
    frame = key(123, (9, 9))
    before = Upright(Search(template, (0.95, 1.05)), mask, LEAST_MATCH)
    assert (again.view(frame).image == before.view(frame).image).all()
    assert (again.mask == mask).all()


def test_the_same_template_is_the_same_bytes(file, tmp_path):
    save_upright(tmp_path / "again.npz", *keys.template())
    assert (tmp_path / "again.npz").read_bytes() == file.read_bytes()


def packed(path: Path, **arrays: np.ndarray) -> None:
    np.savez_compressed(path, **arrays)


EDGES, MASK = np.ones((2, 30, 60), np.float32), np.ones((60, 120), np.uint8)
WRONG_ARRAYS = {
    "no mask": {"edges": EDGES},
    "no edges": {"mask": MASK},
    "edges of float64": {"edges": EDGES.astype(float), "mask": MASK},
    "edges of one plane": {"edges": EDGES[:1], "mask": MASK},
    "flat edges": {"edges": EDGES[0], "mask": MASK},
    "edges of NaN": {"edges": EDGES * np.float32("nan"), "mask": MASK},
    "infinite edges": {"edges": EDGES * np.float32("inf"), "mask": MASK},
    "no edge at all": {"edges": EDGES * 0, "mask": MASK},
    "edges of no rows": {"edges": EDGES[:, :0], "mask": MASK},
    "edges of one column": {"edges": EDGES[:, :, :1], "mask": MASK},
    "edges of too many cells": {"edges": np.ones((2, 30, 221), np.float32), "mask": MASK},
    "a mask of bool": {"edges": EDGES, "mask": MASK > 0},
    "a mask of colours": {"edges": EDGES, "mask": np.ones((60, 120, 3), np.uint8)},
    "a mask without a part": {"edges": EDGES, "mask": MASK * 0},
    "a mask too wide to be laid": {"edges": EDGES, "mask": np.ones((2, 20000), np.uint8)},
    "objects": {"edges": np.array([{"a": 1}], object), "mask": MASK},
}


@pytest.mark.parametrize("arrays", WRONG_ARRAYS.values(), ids=WRONG_ARRAYS)
def test_arrays_that_are_no_template_are_refused_with_what_to_do(tmp_path, arrays):
    packed(tmp_path / UPRIGHT, **arrays)
    with pytest.raises(BundleError, match=rf"{UPRIGHT}: .*make the bundle again$"):
        read_upright(tmp_path / UPRIGHT, keys.pose())


def npy(path: Path) -> None:
    np.save(path.with_suffix(".npy"), EDGES)
    path.with_suffix(".npy").replace(path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)


def bomb(path: Path) -> None:
    """What would unpack to hundreds of times its size."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packing,
        packing.open("mask.npy", "w") as member,
    ):
        for _ in range(17):
            member.write(bytes(1 << 24))


def boasting(path: Path) -> None:
    """A header that speaks of more than there is."""
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 10000000)}"
    header += b" " * (117 - len(header)) + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(100)
    with zipfile.ZipFile(path, "w") as packing:
        packing.writestr("mask.npy", content)
        packing.writestr("edges.npy", content)


BROKEN = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("edges"),
    "a pickle": lambda path: path.write_bytes(pickle.dumps({"edges": EDGES, "mask": MASK})),
    "a single array": npy,
    "cut off": cut,
    "flipped": flipped,
    "a bomb": bomb,
    "boasting": boasting,
}


@pytest.mark.parametrize("harm", BROKEN.values(), ids=BROKEN)
def test_a_file_that_is_broken_or_another_is_refused_with_what_to_do(file, harm):
    harm(file)
    with pytest.raises(BundleError, match=r"no template of a part \(.*make the bundle again$"):
        read_upright(file, keys.pose())


def test_a_pickle_in_a_template_is_not_run(tmp_path):
    class Harm:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "harmed",))

    np.savez(tmp_path / UPRIGHT, edges=np.array([Harm()], object), mask=MASK)
    with pytest.raises(BundleError):
        read_upright(tmp_path / UPRIGHT, keys.pose())
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("shape", [(1024, 1024), (1024, 1280), (600, 1000), (513, 700), (260, 256)])
def test_edges_of_a_frame_that_is_halved_first_are_those_of_its_means_over_areas(shape):
    frame = cv2.resize(key(20), shape[::-1], interpolation=cv2.INTER_CUBIC)
    scale = SIDE / max(shape)
    size = (round(shape[1] * scale), round(shape[0] * scale))
    at_once = cv2.resize(frame.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    field = edges_of(frame)
    assert field.shape == size[::-1]
    wanted = edges_of(np.clip(np.rint(at_once), 0, 255).astype(np.uint8))
    assert np.abs(field - wanted).mean() < 0.01


def test_edges_are_the_same_in_any_light():
    fields = [edges_of(key(20, gain=gain)) for gain in (1.0, 0.5)]
    assert np.abs(fields[0] - fields[1]).max() < 0.06


def test_a_template_as_long_as_the_diagonal_of_a_frame_is_found_in_its_own_edges():
    template = np.zeros((24, 160), np.complex64)
    template[2], template[-3] = 0.5j, -0.5j
    template[:, 3] += 0.5
    field = np.zeros((164, 164), np.complex64)
    field[70:94, 2:162] = template
    place = Search(template, turns_deg=(0.0, 0.0)).find(field)
    assert place.match > 0.45  # edges as sure as can be are 1/2 long
    assert abs(place.shift) < 0.5
