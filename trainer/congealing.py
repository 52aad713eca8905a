"""Lays the parts of several images over each other: what they share is looked for in each, and again, and again.

E. Learned-Miller, Data driven image models through continuous joint alignment, PAMI 28, 2006. Each image is laid over
what the others share, so that none holds on to its own mistake, and round by round less is left of what they share
less than wholly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.upright import Field, Match, Place, Search, seen_at
from trainer.common_edges import common_edges, repetition
from trainer.progress import progress

SIZES = (0.75, 1.33)  # that parts may have against each other
_POWERS = (1.0, 2.0, 4.0, 4.0, 6.0, 6.0)  # of how far parts agree, one for each round
_ANYWHERE = 2  # of the first rounds look at the whole frame again
_EXEMPLARS = 6
_STEPS = (
    ((0.0,), (0.92, 1.0, 1.085), 10),  # a thread fits itself one turn farther on too, and a little smaller
    ((-1.5, 0.0, 1.5), (0.97, 1.0, 1.03), 3),
    ((-0.5, 0.0, 0.5), (0.985, 1.0, 1.015), 2),
)


def congealed(fields: Sequence[Field]) -> tuple[Field, list[Place]]:
    """The edges that parts share, on a grid of their own, and where it lies in each."""
    first = fields[_exemplar(fields)]
    shape = (first.shape[0], first.shape[1])
    places = _sized(_found(Search(first, SIZES), fields))
    for number, power in enumerate(progress(_POWERS, "lay upright", unit="round")):
        seen = _laid(fields, places, shape)
        again = repetition(seen)
        search = Search(common_edges(seen, again, power), SIZES) if number < _ANYWHERE else None
        found = []
        for index, field in enumerate(fields):
            others = Match(common_edges(np.delete(seen, index, axis=0), again, power))
            starts = [places[index], *([] if search is None else search.starts(field))]
            found.append(max((others.settled(field, start, _STEPS) for start in starts), key=_match))
        places = _sized(found)
    return shared(fields, places, shape), places


def shared(fields: Sequence[Field], places: Sequence[Place], shape: tuple[int, int]) -> Field:
    """What they have in common where they were found, (h, w)."""
    seen = _laid(fields, places, shape)
    return common_edges(seen, repetition(seen))


def _laid(fields: Sequence[Field], places: Sequence[Place], shape: tuple[int, int]) -> NDArray[np.complex64]:
    """What of each field lies where its part was found, (n, h, w)."""
    return np.stack([seen_at(field, place, shape) for field, place in zip(fields, places, strict=True)])


def _found(search: Search, fields: Sequence[Field]) -> list[Place]:
    return [search.find(field) for field in fields]


def _match(place: Place) -> float:
    return place.match


def _exemplar(fields: Sequence[Field]) -> int:
    """Of a few, the one that the others are most like."""
    few = range(0, len(fields), max(1, len(fields) // _EXEMPLARS))
    likeness = []
    for index in few:
        search = Search(fields[index], SIZES)
        others = [place.match for place in _found(search, [fields[other] for other in few if other != index])]
        likeness.append(float(np.median(others)) if others else 0.0)
    return few[int(np.argmax(likeness))]


def _sized(places: Sequence[Place]) -> list[Place]:
    """The usual size is 1: else it would wander off round by round."""
    usual = float(np.exp(np.median([np.log(place.size) for place in places])))
    return [replace(place, size=place.size / usual) for place in places]
