"""What a picture is, by all that was said of it. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from trainer.versions.types import Claim, FromPerson, FromReview, Label, Picture


@dataclass(frozen=True, slots=True)
class Labelled:
    """One picture: files of the same pixels are one."""

    picture: Picture  # the one whose file is taken
    claims: tuple[Claim, ...]  # that stand; none of them without a label

    @property
    def labels(self) -> tuple[Label, ...]:
        """One, or several in conflict. That a defect has no kind yet contradicts none that has one."""
        found = {claim.label for claim in self.claims if claim.label is not None}
        return tuple(sorted(found - {UNNAMED} if found - {UNNAMED, "good"} else found))

    @property
    def is_in_conflict(self) -> bool:
        """People say different things of it."""
        return len(self.labels) > 1

    @property
    def mask(self) -> str | None:
        """Of the defect, where somebody drew one."""
        return next((claim.mask for claim in self.claims if claim.mask is not None), None)


UNNAMED = "defect"  # a defect of a kind that nobody named


def labelled(claims: Iterable[Claim], pictures: Mapping[str, Picture]) -> list[Labelled]:
    """The pictures of which anything is known, by pixels."""
    by_pixels: dict[str, list[Claim]] = defaultdict(list)
    for claim in _standing(claims):
        by_pixels[pictures[claim.picture].pixels].append(claim)
    found = []
    for _, said in sorted(by_pixels.items()):
        if settled := _settled(said):
            first = min(claim.picture for claim in said)
            found.append(Labelled(pictures[first], tuple(settled)))
    return found


def _standing(claims: Iterable[Claim]) -> list[Claim]:
    """Of the answers of one person about one part only the last."""
    last: dict[tuple[str, ...], Claim] = {}
    others = []
    for claim in claims:
        origin = claim.origin
        if not isinstance(origin, FromReview):
            others.append(claim)
            continue
        key = (origin.box, origin.part, origin.by)
        before = last.get(key)
        if before is None or _at(before) < _at(claim):
            last[key] = claim
    return [*others, *last.values()]


def _at(claim: Claim) -> float:
    return claim.origin.at.timestamp() if isinstance(claim.origin, FromReview | FromPerson) else 0.0


def _settled(said: list[Claim]) -> list[Claim]:
    """Who settles has the last word over all that was said before."""
    settlers = [claim for claim in said if isinstance(claim.origin, FromPerson)]
    since = max(map(_at, settlers), default=-1.0)
    words = [claim for claim in said if _at(claim) >= since]
    return sorted((claim for claim in words if claim.label is not None), key=lambda claim: (_at(claim), claim.picture))
