"""The ways of reading a camera, over scripted pictures and a real ring."""

import os
import time

import pytest

from edge.cameras import make_camera
from edge.cameras.messages import Measured, Setup
from edge.cameras.pace import answer, play
from edge.cameras.reader import Reader, Stamp
from edge.cameras.ring import Field, Ring
from tests import tiny
from tests.edge.basket import folder, write_images

MS = 1_000_000


@pytest.fixture
def ring():
    made, memory = Ring.create(4)
    os.close(memory)
    return made


class Film:
    """A reader of a live camera: each picture is (ms at which it was captured, ms of the wants before it comes)."""

    def __init__(self, ring, *pictures, period_ms=20):
        self.ring, self.period_ns, self._pictures = ring, period_ms * MS, iter(pictures)
        self._began_ns, self.sent = time.monotonic_ns(), []

    def grab(self):
        captured_ms, wants_ms = next(self._pictures, (None, ()))
        for at_ms in wants_ms:
            self.ring.want(self._began_ns + at_ms * MS)
        if captured_ms is None:
            return None
        return Stamp(self._began_ns + captured_ms * MS, 0, self.period_ns, str(captured_ms))

    def slot(self):
        return 0

    def leave(self):
        pass

    def decode(self, stamp, slot):
        return stamp

    def send(self, stamp):
        self.sent.append(int(stamp.source))


def test_a_burst_of_questions_does_not_make_the_first_one_s_picture_old(ring):
    """The stamp of the device is earlier than the picture: by then two more parts were there."""
    film = Film(ring, (-20, [5]), (10, [15, 25]), (30, []), (50, []))
    answer(film)
    assert film.sent == [10, 30, 50]


def test_a_picture_from_before_its_own_question_is_old_though_others_were_asked_earlier(ring):
    film = Film(ring, (-20, [5, 15]), (10, []), (12, []), (30, []))
    answer(film)
    assert film.sent == [10, 30]


def test_each_question_has_a_moment_of_its_own_also_after_very_many(ring):
    for want in range(2000):
        ring.want(want + 1)
        assert ring.wanted_at_ns(want) == want + 1
    assert [ring.wanted_at_ns(want) for want in range(1900, 2000)] == list(range(1901, 2001))
    assert (ring[Field.WANTED], ring.lent) == (2000, 0)


class Ending:
    """A link to a daemon that is gone when the first picture was sent."""

    def __init__(self, ring):
        self.ring, self.done = ring, []

    def send(self, message):
        if isinstance(message, Measured):
            self.done.append((self.ring[Field.STARTED], self.ring[Field.DONE]))
            raise EOFError

    def receive(self, limit_s):
        return None


def test_a_picture_is_counted_as_done_before_it_is_measured(tmp_path, ring):
    setup, link = Setup(config=folder(write_images(tmp_path, [tiny.OK]), health=True)), Ending(ring)
    reader = Reader(setup, make_camera(setup.config), ring, link)
    reader.open()
    with pytest.raises(EOFError):
        play(reader)
    assert link.done == [(1, 1)]
