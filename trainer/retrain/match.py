"""Champion against challenger: both bundles on the same unlearned pictures, run as the edge runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import AwareDatetime

from models.base import Frozen, Sha256
from models.bundle import Bundle
from models.errors import DatasetError
from models.runner import Runner
from models.scoring import judge
from models.verdict import Outcome
from trainer.dataset import GOOD
from trainer.evaluate import NO_PART, Scored, figures, score_images
from trainer.retrain.paired import Decision, Pair, Paired, compare
from trainer.study.figures import auc_interval, share_interval
from trainer.study.types import Interval
from trainer.versions.store import DatasetStore
from trainer.versions.types import FromReview, Item, Snapshot


class Side(Frozen):
    """One of the two on all parts of the test."""

    bundle: Sha256
    threshold: float
    threshold_policy: str
    roc_auc: Interval
    recall: Interval  # defects that are not ok
    false_reject_rate: Interval  # good parts that are not ok
    n_learned: int  # images


class Part(Frozen):
    """One picture of the test as both judged it."""

    picture: Sha256
    label: str
    is_new: bool  # in no snapshot before
    scores: tuple[float | None, float | None]  # champion, challenger; null where no part was found
    outcomes: tuple[Outcome, Outcome]


class Match(Frozen):
    """`retrain.json`."""

    schema_version: int = 1
    created_at: AwareDatetime
    snapshot: str
    parent: str | None
    champion: Side
    challenger: Side
    decision: Decision
    why: str
    everything: Paired  # what decides, where `frozen` does not speak against it
    frozen: Paired | None  # of those in earlier snapshots; null where one kind is missing
    new: Paired | None  # newly reviewed
    n_left_out: int  # pictures that the champion learned from
    n_chosen: int  # new ones that were asked about for the champion's score: that flatters the challenger
    n_seen: int  # pictures that placed the champion's threshold: its decisions on them flatter it
    notes: tuple[str, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Test:
    """The pictures that both are asked about."""

    items: tuple[Item, ...]
    new: frozenset[str]  # pixels
    n_left_out: int

    @property
    def n_chosen(self) -> int:
        """New ones about which a box asked for what the champion had said of them."""
        return sum(item.pixels in self.new and not _by_chance(item) for item in self.items)

    @property
    def is_enough(self) -> bool:
        """Good parts and defects."""
        return len({item.label == GOOD for item in self.items}) == 2


def test_of(store: DatasetStore, snapshot: Snapshot, parent: Snapshot | None, champion: Bundle) -> Test:
    """The test part, without what the champion learned from. Raises DatasetError where one kind is missing."""
    earlier = {item.pixels for item in parent.items} if parent is not None else set()
    learned = {store.picture(one).pixels for one in champion.manifest.training.images if store.has(one)}
    items = [item for item in snapshot.of("test") if item.pixels not in learned]
    test = Test(
        tuple(items),
        frozenset(item.pixels for item in items if item.pixels not in earlier),
        len(snapshot.of("test")) - len(items),
    )
    if not test.is_enough:
        n_good = sum(item.label == GOOD for item in items)
        raise DatasetError(
            f"{store.root}: snapshot {snapshot.name} has {n_good} good parts and {len(items) - n_good} defects to test "
            "on that the old bundle did not learn from; both are needed to say which model is better: add some"
        )
    return test


def play(store: DatasetStore, test: Test, champion: Bundle, challenger: Bundle) -> tuple[list[Part], dict[str, Paired]]:
    """Scores the test with both; the parts, and what the numbers say of "everything", "frozen" and "new"."""
    labelled = [(item.label, store.object(item.picture, item.suffix)) for item in test.items]
    scored = [
        score_images(Runner.of(bundle), labelled, name)
        for name, bundle in (("champion", champion), ("challenger", challenger))
    ]
    parts = [
        _part(item, item.pixels in test.new, (one, other), (champion, challenger))
        for item, one, other in zip(test.items, *scored, strict=True)
    ]
    groups = {
        "everything": parts,
        "frozen": [part for part in parts if not part.is_new],
        "new": [part for part in parts if part.is_new],
    }
    return parts, {name: compare([_pair(part) for part in some]) for name, some in groups.items() if _has_both(some)}


def decide(paired: Mapping[str, Paired]) -> tuple[Decision, str]:
    """By everything. But new parts were mostly chosen for the champion's doubts: the frozen must not contradict."""
    both, frozen = paired["everything"], paired.get("frozen")
    if both.decision != "better" or frozen is None:
        return both.decision, both.why
    if frozen.decision == "worse":
        return "not shown", f"{both.why}; but on the frozen test part it is {frozen.why}"
    if frozen.missed[1] > frozen.missed[0]:
        more = f"misses {frozen.missed[1]} defects of the frozen test part, the champion {frozen.missed[0]}"
        return "not shown", f"{both.why}; but it {more}"
    return both.decision, both.why


def side_of(bundle: Bundle, parts: Sequence[Part], index: int) -> Side:
    """The figures of one of the two."""
    good = [part for part in parts if part.label == GOOD]
    bad = [part for part in parts if part.label != GOOD]
    scores_good, scores_bad = ([_score(part, index) for part in some] for some in (good, bad))
    auc = figures(scores_good, scores_bad, bundle.manifest.threshold.ng_at_or_above)["roc_auc"]
    return Side(
        bundle=bundle.digest,
        threshold=bundle.manifest.threshold.ng_at_or_above,
        threshold_policy=bundle.manifest.threshold.policy,
        roc_auc=auc_interval(auc, len(bad), len(good)),
        recall=share_interval(sum(part.outcomes[index] != "ok" for part in bad), len(bad)),
        false_reject_rate=share_interval(sum(part.outcomes[index] != "ok" for part in good), len(good)),
        n_learned=len(bundle.manifest.training.images),
    )


def _part(item: Item, is_new: bool, scored: tuple[Scored, Scored], bundles: tuple[Bundle, Bundle]) -> Part:
    return Part(
        picture=item.picture,
        label=item.label,
        is_new=is_new,
        scores=(_told(scored[0]), _told(scored[1])),
        outcomes=(_outcome(scored[0], bundles[0]), _outcome(scored[1], bundles[1])),
    )


def _by_chance(item: Item) -> bool:
    reviews = [origin for origin in item.said_by if isinstance(origin, FromReview)]
    return not reviews or any(origin.asked_for == "chance" for origin in reviews)


def _told(scored: Scored) -> float | None:
    return None if scored.prediction.lost is not None else scored.score


def _outcome(scored: Scored, bundle: Bundle) -> Outcome:
    if scored.prediction.lost is not None:
        return "unknown"
    limit = bundle.manifest.threshold
    return judge(scored.score, limit.ng_at_or_above, limit.review_at_or_above)[0]


def _score(part: Part, index: int) -> float:
    score = part.scores[index]
    return NO_PART if score is None else score


def _pair(part: Part) -> Pair:
    is_defect = part.label != GOOD
    right = tuple((outcome != "ok") is is_defect for outcome in part.outcomes)
    return Pair(is_defect, (_score(part, 0), _score(part, 1)), (right[0], right[1]))


def _has_both(parts: Sequence[Part]) -> bool:
    return len({part.label == GOOD for part in parts}) == 2


def picture_of(store: DatasetStore, part: Part) -> Path:
    """Where the picture of a part lies."""
    return store.object(part.picture, store.picture(part.picture).suffix)
