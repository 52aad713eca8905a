"""What lies where in a study: cells and summaries by candidate, protocol and condition, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from trainer.conditions import ORIGINAL, USUAL, Condition, parse_condition
from trainer.study.types import Cell, Failure, Protocol, Study, Summary

Words = Mapping[str, str]


@dataclass(frozen=True)
class Found:
    """A study and the words of the language in which it is told."""

    study: Study
    words: Words

    @cached_property
    def base(self) -> str:
        """The condition that others are held against: the original, or the first where that was not measured."""
        names = [condition.name for condition in self.study.conditions]
        return ORIGINAL if ORIGINAL in names else names[0]

    @cached_property
    def reference(self) -> Protocol:
        """What a line meets, where it was measured."""
        return "frozen" if "frozen" in self.study.protocols else self.study.protocols[0]

    @cached_property
    def candidates(self) -> tuple[str, ...]:
        """Their names, in the study's order: their colours go by it."""
        return tuple(candidate.name for candidate in self.study.candidates)

    @cached_property
    def conditions(self) -> tuple[str, ...]:
        """Their names, the one that the others are held against first."""
        names = [condition.name for condition in self.study.conditions]
        return tuple(sorted(names, key=lambda name: name != self.base))

    def index(self, candidate: str) -> int:
        """Which colour is its own."""
        return self.candidates.index(candidate)

    def _protocols_for(self, protocol: Protocol, condition: str) -> list[Protocol]:
        """That one; for the original pictures any, as both protocols then mean the same fit."""
        return [protocol, *(other for other in self.study.protocols if condition == ORIGINAL and other != protocol)]

    @cached_property
    def _cells(self) -> dict[tuple[str, str, str], list[Cell]]:
        found: dict[tuple[str, str, str], list[Cell]] = {}
        for cell in sorted(self.study.cells, key=lambda cell: cell.split):
            found.setdefault((cell.candidate, cell.protocol, cell.condition), []).append(cell)
        return found

    @cached_property
    def _summaries(self) -> dict[tuple[str, str, str], Summary]:
        return {(one.candidate, one.protocol, one.condition): one for one in self.study.summaries}

    def cells(self, candidate: str, protocol: Protocol, condition: str) -> list[Cell]:
        """One for each split that was measured, in the order of splits."""
        tried = (self._cells.get((candidate, one, condition)) for one in self._protocols_for(protocol, condition))
        return next((cells for cells in tried if cells), [])

    def summary(self, candidate: str, protocol: Protocol, condition: str) -> Summary | None:
        """Over the splits; None where nothing was measured."""
        tried = (self._summaries.get((candidate, one, condition)) for one in self._protocols_for(protocol, condition))
        return next((summary for summary in tried if summary), None)

    def worst(self, candidate: str, protocol: Protocol, figure: str) -> Summary | None:
        """Of all conditions but the base, the one whose mean `figure` (a share, 1 is best) is lowest."""
        others = (self.summary(candidate, protocol, name) for name in self.conditions if name != self.base)
        return min((one for one in others if one), key=lambda one: getattr(one, figure).value, default=None)

    @cached_property
    def told(self) -> tuple[Cell, ...]:
        """All cells but those that only repeat another: of the original pictures both protocols mean one bundle."""
        return tuple(cell for cell in self.study.cells if not self._repeats(cell))

    def _repeats(self, cell: Cell) -> bool:
        if cell.protocol in self.shown_protocols(cell.condition):
            return False
        return (cell.candidate, self.reference, cell.condition) in self._cells

    def image_name(self, sha256: str) -> str:
        """Under the data's folder."""
        return self.study.data.images.get(sha256, sha256[:12])

    def failures(self, candidate: str, protocol: Protocol, condition: str) -> list[Failure]:
        """What went wrong there."""
        where = (candidate, protocol, condition)
        return [one for one in self.study.failures if (one.candidate, one.protocol, one.condition) == where]

    def shown_protocols(self, condition: str) -> tuple[Protocol, ...]:
        """Those that tell different things of a condition: of the original pictures one is enough."""
        return self._of_original if condition == ORIGINAL else self.study.protocols

    @cached_property
    def _of_original(self) -> tuple[Protocol, ...]:
        every, names = self.study.protocols, self.candidates
        scores = [
            [part.score for name in names for cell in self.cells(name, protocol, ORIGINAL) for part in cell.parts]
            for protocol in every
        ]
        return (self.reference,) if all(one == scores[0] for one in scores) else every

    def protocol_title(self, protocol: Protocol, condition: str) -> str:
        """What a chart of that protocol is called; both, where they are one."""
        both = len(self.study.protocols) > 1 and len(self.shown_protocols(condition)) == 1
        return self.words["protocol_both" if both else f"protocol_{protocol}"]

    def condition_title(self, name: str) -> str:
        """A condition for a person, in the language of the report."""
        return _title(parse_condition(name), self.words)


def _title(condition: Condition, words: Words) -> str:
    """`JPEG 0.8 + noise`, in the order of the name."""
    by_kind = {step.kind: step for step in condition.steps}
    steps = [by_kind[kind] for kind in _kinds_in(condition.name) if kind in by_kind]
    titles = (words[f"kind_{step.kind}"] + ("" if step.strength == USUAL else f" {step.strength:g}") for step in steps)
    return " + ".join(titles) or words["kind_original"]


def _kinds_in(name: str) -> list[str]:
    return [part.partition(":")[0] for part in name.split("+")]
