import os
import socket

import numpy as np
import pytest

from edge.camera_config import OpenCVConfig
from edge.cameras.messages import Link, Measured, Picture, Setup, Wake, clip
from edge.cameras.ring import Field, Ring, is_size, same_picture
from models.errors import CameraError
from models.health import Health


@pytest.fixture
def sides():
    """Both sides' views of one ring, as two processes have them."""
    ours, memory = Ring.create(3)
    theirs = Ring.received(memory)
    os.close(memory)
    return ours, theirs


@pytest.fixture
def ends():
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    links = Link(one), Link(other)
    yield *links, other
    for link in links:
        link.close()


def picture(**fields) -> Picture:
    return Picture(slot=1, captured_ns=1, captured_at_ns=2, ready_ns=3, **fields)


def test_what_one_side_writes_the_other_reads_without_a_copy(sides):
    ours, theirs = sides
    assert theirs.slots == 3
    theirs.image(2, 4, 5)[:] = 7
    image = ours.image(2, 4, 5)
    assert image.shape == (4, 5, 3)
    assert (image == 7).all()
    assert not ours.image(1, 4, 5).any()
    assert image.flags.c_contiguous
    assert image.flags.writeable
    theirs.image(2, 4, 5)[0, 0, 0] = 9
    assert image[0, 0, 0] == 9


def test_counters_and_slots_are_seen_by_the_other_side(sides):
    ours, theirs = sides
    theirs[Field.DONE] += 2
    theirs.lend(1)
    assert (ours[Field.DONE], ours.lent, ours.is_free(0), ours.is_free(1)) == (2, 1, True, False)
    ours.give_back(1)
    assert theirs.is_free(1)


def test_a_picture_stays_readable_after_its_ring_is_gone():
    ring, memory = Ring.create(1)
    os.close(memory)
    image = ring.image(0, 2, 2)
    image[:] = 3
    del ring
    assert image.sum() == 36


def test_the_largest_picture_fits_and_costs_no_memory_before_it_is_written(sides):
    assert sides[0].image(2, 16384, 16384)[-1, -1, -1] == 0


@pytest.mark.parametrize(("slot", "height", "width"), [(3, 2, 2), (-1, 2, 2), (0, 0, 2), (0, 2, -1), (0, 16384, 16385)])
def test_memory_outside_a_slot_cannot_be_asked_for(sides, slot, height, width):
    with pytest.raises(ValueError, match=f"slot {slot} of 3"):
        sides[0].image(slot, height, width)


def test_a_process_cannot_cut_the_memory_short_under_the_daemon():
    _ring, memory = Ring.create(1)
    with pytest.raises(PermissionError):
        os.ftruncate(memory, 0)
    os.close(memory)


def test_nothing_is_left_open_when_there_are_too_many_slots():
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with pytest.raises(CameraError, match="5000 slots"):
        Ring.create(5000)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_pictures_are_the_same_only_to_the_last_bit():
    one = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)
    other = one.copy()
    assert same_picture(one, other)
    other[-1, -1, -1] ^= 1
    assert not same_picture(one, other)
    assert not same_picture(one, one[:-1])


def test_a_size_is_judged_by_its_bytes():
    assert is_size(1, 16384 * 16384)
    assert not is_size(2, 16384 * 16384)


def test_a_message_arrives_as_it_was_sent(ends):
    one, other, _ = ends
    config = OpenCVConfig(kind="opencv", name="cam", source="rtsp://user:secret@host/1")
    health = Health(1.0, 0.5, float("nan"), 0.1, 0.5, 0.5, 0.2)
    for message in (Setup(config=config, skip=3), picture(fault=("bad_frame", "torn")), Wake()):
        one.send(message)
        assert other.receive(1) == message
    one.send(Measured(health))
    got = other.receive(1)
    assert np.isnan(got.health.sharpness_x)
    assert got.health.brightness == 1.0


@pytest.mark.parametrize("fields", [{}, {"source": "teil_ü.png"}, {"height_px": 9, "width_px": 8, "repeats": 2}])
def test_a_picture_arrives_with_and_without_a_name(ends, fields):
    one, other, _ = ends
    one.send(picture(is_measured=True, **fields))
    assert other.receive(1) == picture(is_measured=True, **fields)


def test_the_end_of_the_other_side_is_seen_by_who_waits_and_by_who_sends(ends):
    one, other, _ = ends
    one.send(Wake())
    one.close()
    assert other.receive(1) == Wake()  # what was sent before still comes
    with pytest.raises(EOFError):
        other.receive(1)
    with pytest.raises(EOFError):
        other.send(Wake())
    other.wake()
    one.wake()  # neither a closed end nor a dead other side is an error


def test_what_waits_is_read_though_the_other_side_ended_without_reading_all(ends):
    """Linux then says once that the line was reset, before it gives what waits."""
    one, other, _ = ends
    one.wake()
    other.send(picture())
    other.send(picture(repeats=1))
    other.close()
    assert [one.receive(1), one.receive(1)] == [picture(), picture(repeats=1)]
    with pytest.raises(EOFError):
        one.receive(1)


def test_a_wake_never_waits(ends):
    one, other, _ = ends
    for _ in range(10_000):
        one.wake()
    assert other.receive(0) == Wake()


@pytest.mark.parametrize(
    "packet",
    [
        b"no json",
        b'{"kind":"other"}',
        b"P",
        b"P" + b"\0" * 57 + b"{",
        b"M123",
        b'{"kind":"wake","more":1}',
        b"\xff\xfe",
        b"[" * 60000,
    ],
)
def test_a_packet_that_is_no_message_is_refused(ends, packet):
    one, _, raw = ends
    raw.send(packet)
    with pytest.raises(CameraError, match=f"{len(packet)} bytes that are no message"):
        one.receive(1)


def test_a_long_text_is_cut_to_fit_a_packet(ends):
    one, other, _ = ends
    one.send(picture(fault=("bad_frame", clip("é" * 100_000))))
    assert len(other.receive(1).fault[1]) < 3000
