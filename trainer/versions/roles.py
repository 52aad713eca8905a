"""Which pictures are learned from and which are tested on, for good, and that none is on both sides. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.study.sheet import bits_apart
from trainer.versions.labels import Labelled
from trainer.versions.types import FromFolder, Role

_BITS = 255
_Bits = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Leak:
    """Two pictures that look alike (or are one), one learned from and one tested on."""

    train: Labelled
    test: Labelled
    newer: Labelled  # the one that can be left out: it is in no snapshot


@dataclass(frozen=True, slots=True)
class Roles:
    """Of each picture, by pixels; and what is wrong with them."""

    of: Mapping[str, Role]
    leaks: tuple[Leak, ...]


def assign(items: Sequence[Labelled], before: Mapping[str, Role], near: int, test_share: float) -> Roles:
    """Roles for `items`. Those of earlier snapshots, `before`, stay; then what folders say counts; of the others
    `test_share` of each label is tested on, by the order of their hashes, and what looks alike keeps together.
    """
    if not items:
        return Roles({}, ())
    alike = bits_apart([_bits(item) for item in items]) <= near
    fixed = [_fixed(item, before) for item in items]
    roles: dict[str, Role] = {}
    n_drawn: Counter[str] = Counter()
    for group in sorted(_groups(alike), key=lambda group: items[group[0]].picture.pixels):
        told: list[Role] = [role for index in group for role in fixed[index][:1]]
        label = items[group[0]].labels[0]
        usual: Role = told[0] if told else _next(n_drawn[label], test_share)
        n_drawn[label] += not told
        for index in group:
            roles[items[index].picture.pixels] = fixed[index][0] if fixed[index] else usual
    leaks = [*_torn(items, fixed), *_leaks(items, [roles[item.picture.pixels] for item in items], fixed, alike, before)]
    return Roles(roles, tuple(leaks))


def _fixed(item: Labelled, before: Mapping[str, Role]) -> tuple[Role, ...]:
    """None, one, or two that contradict each other."""
    if (earlier := before.get(item.picture.pixels)) is not None:
        return (earlier,)
    said = {c.origin.role for c in item.claims if isinstance(c.origin, FromFolder) and c.origin.role is not None}
    return tuple(sorted(said))


def _torn(items: Sequence[Labelled], fixed: Sequence[tuple[Role, ...]]) -> list[Leak]:
    """The same picture in a folder to learn from and in one to test on."""
    return [Leak(item, item, item) for item, roles in zip(items, fixed, strict=True) if len(roles) > 1]


def _leaks(
    items: Sequence[Labelled],
    roles: Sequence[Role],
    fixed: Sequence[tuple[Role, ...]],
    alike: _Bits,
    before: Mapping[str, Role],
) -> list[Leak]:
    """To be left out is what no earlier snapshot has; of two such ones that for which nothing says what it is for."""
    found = []
    for i, j in np.argwhere(alike):
        if (roles[i], roles[j]) != ("train", "test"):
            continue
        is_old = [items[k].picture.pixels in before for k in (i, j)]
        if not all(is_old):  # of two old ones an earlier snapshot was told to bear with them
            newer = j if is_old[0] or (fixed[i] and not fixed[j] and not is_old[1]) else i
            found.append(Leak(items[i], items[j], items[newer]))
    return found


def _groups(alike: _Bits) -> list[list[int]]:
    """Pictures that hang together by looking alike."""
    left, groups = set(range(len(alike))), []
    while left:
        open_ones, group = [min(left)], []
        left.discard(open_ones[0])
        while open_ones:
            index = open_ones.pop()
            group.append(index)
            near = [other for other in np.flatnonzero(alike[index]).tolist() if other in left]
            left.difference_update(near)
            open_ones += near
        groups.append(sorted(group))
    return groups


def _next(number: int, test_share: float) -> Role:
    """So that of any number the share is right to one, and the first of a label is tested on."""
    return "test" if math.ceil((number + 1) * test_share) > math.ceil(number * test_share) else "train"


def _bits(item: Labelled) -> _Bits:
    packed = np.frombuffer(bytes.fromhex(item.picture.look), np.uint8)
    return np.unpackbits(packed)[:_BITS].astype(np.bool_)
