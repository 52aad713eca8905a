"""The flow: what was pulled -> a new snapshot -> the same recipe -> champion against challenger -> report."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from models.bundle import Bundle, open_bundle
from models.errors import ConfigError
from models.files import write_whole
from trainer.dataset import GOOD
from trainer.export import refuse_existing
from trainer.fit_command import run_fit
from trainer.retrain.match import Match, Test, decide, play, side_of, test_of
from trainer.retrain.paired import Paired
from trainer.retrain.recipe import Recipe, recipe_of
from trainer.retrain.report import REPORT, render
from trainer.study.types import Interval
from trainer.versions.adding import add
from trainer.versions.checkout import checkout
from trainer.versions.snapshot import Wanted, make_snapshot
from trainer.versions.store import DatasetStore
from trainer.versions.types import Item, Snapshot

Say = Callable[[str], None]
MATCH = "retrain.json"
_WANT_MASKS = ("detection", "segmentation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a person may choose."""

    champion: Path
    added: Path | None
    store: Path
    out: Path
    weights: Path | None
    wanted: Wanted


def retrain(options: Options, say: Say) -> Match:
    """Leaves the challenger, its pictures, `retrain.json` and a report, whatever the numbers say.

    Raises MekikiError; then no bundle is left. What was added to the store stays, and the same command goes on from it.
    """
    report = options.out.with_name(f"{options.out.name}.report")
    refuse_existing(options.out)
    refuse_existing(report)
    champion, store = open_bundle(options.champion), DatasetStore(options.store)
    recipe_of(champion.manifest, options.weights)  # what is lacking is said before the store gets anything
    snapshot = _new_snapshot(options, store, say)
    has_defects = bool(snapshot.of("train", good=False))
    recipe = recipe_of(champion.manifest, options.weights, has_defects=has_defects)
    parent = None if snapshot.parent is None else store.snapshot(snapshot.parent)
    test = test_of(store, snapshot, parent, champion)
    learned, bare = _learnable(snapshot, recipe)
    notes = [*recipe.notes, *_missing(store, champion), *bare]
    challenger = _fit(options, store, learned, recipe, say)
    try:
        match = _match(store, snapshot, test, (champion, challenger), notes)
        write_whole(report / MATCH, match.model_dump_json(indent=1).encode() + b"\n")
        write_whole(report / REPORT, render(match, store).encode())
    except BaseException:
        shutil.rmtree(options.out, ignore_errors=True)
        shutil.rmtree(report, ignore_errors=True)
        raise
    return match


def _match(
    store: DatasetStore, snapshot: Snapshot, test: Test, both: tuple[Bundle, Bundle], notes: Sequence[str]
) -> Match:
    """Champion and challenger on the test."""
    champion, challenger = both
    if challenger.manifest.training.weights.sha256 != champion.manifest.training.weights.sha256:
        notes = [*notes, "the weights that the fit began with are not those of the old bundle"]
    parts, paired = play(store, test, champion, challenger)
    decision, why = decide(paired)
    seen = set(champion.manifest.threshold.seen)
    return Match(
        created_at=datetime.now(UTC),
        snapshot=snapshot.name,
        parent=snapshot.parent,
        champion=side_of(champion, parts, 0),
        challenger=side_of(challenger, parts, 1),
        decision=decision,
        why=why,
        everything=paired["everything"],
        frozen=paired.get("frozen"),
        new=paired.get("new"),
        n_left_out=test.n_left_out,
        n_chosen=test.n_chosen,
        n_seen=sum(part.picture in seen for part in parts),
        notes=tuple(notes),
        parts=tuple(parts),
    )


def in_words(match: Match, options: Options) -> str:
    """For a person: both sides, what the tests say, and what follows."""
    both, one, other = match.everything, match.champion, match.challenger
    lines = [
        f"test: {both.n_good} good and {both.n_defect} defects that neither learned from, "
        f"{sum(part.is_new for part in match.parts)} of them newly reviewed (snapshot {match.snapshot})",
        f"{'':<22}{'champion':>28}{'challenger':>28}",
        f"{'bundle':<22}{one.bundle[:12]:>28}{other.bundle[:12]:>28}",
        *(
            f"{name:<22}{_interval(getattr(one, field)):>28}{_interval(getattr(other, field)):>28}"
            for name, field in (("ROC AUC", "roc_auc"), ("recall", "recall"), ("false rejects", "false_reject_rate"))
        ),
        f"{'missed, rejected':<22}{_two(both, 0):>28}{_two(both, 1):>28}",
        f"AUC gain {_interval(both.auc_gain)}; right alone: champion {both.only_champion_right} times, challenger "
        f"{both.only_challenger_right} times",
        *(f"note: {note}" for note in match.notes),
    ]
    if match.n_seen:
        lines.append(f"note: {match.n_seen} of these placed the champion's threshold, which flatters the champion")
    if match.n_chosen:
        lines.append(
            f"note: about {match.n_chosen} of these the boxes asked for the champion's score or verdict, which "
            "flatters the challenger; a larger [review] share asks more by chance"
        )
    verdict = {"better": "BETTER", "worse": "WORSE", "not shown": "NOT SHOWN TO BE BETTER"}[match.decision]
    lines += [f"challenger: {verdict}: {match.why}", f"bundle: {options.out}"]
    return "\n".join([*lines, f"report: {options.out}.report/{REPORT}"])


def _two(both: Paired, index: int) -> str:
    return f"{both.missed[index]}, {both.rejected[index]}"


def _interval(one: Interval) -> str:
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"


def _new_snapshot(options: Options, store: DatasetStore, say: Say) -> Snapshot:
    earlier = store.snapshots() if store.exists() else []
    if not earlier:
        raise ConfigError(
            f"{store.root}: no snapshot there, so no test part that was frozen; first `mekiki-train dataset add` what "
            f"{options.champion} was made from, then `mekiki-train dataset snapshot`"
        )
    if options.added is not None:
        say(add(store, options.added).in_words())
    return make_snapshot(store, options.wanted, say)


def _missing(store: DatasetStore, champion: Bundle) -> list[str]:
    learned = champion.manifest.training.images
    n_missing = sum(not store.has(one) for one in learned)
    if not n_missing:
        return []
    return [f"{n_missing} of {len(learned)} images that the old bundle learned from are not in {store.root.name}"]


def _learnable(snapshot: Snapshot, recipe: Recipe) -> tuple[list[Item], list[str]]:
    """The train part, without what a family that wants masks cannot take; and that in words."""
    items = snapshot.of("train")
    if recipe.family not in _WANT_MASKS:
        return items, []
    bare = [item for item in items if item.label != GOOD and item.mask is None]
    words = (
        f"{len(bare)} defects to learn from are left out, as nobody drew where they are; {recipe.family} wants masks"
    )
    return [item for item in items if item not in bare], [words] if bare else []


def _fit(options: Options, store: DatasetStore, learned: Sequence[Item], recipe: Recipe, say: Say) -> Bundle:
    with tempfile.TemporaryDirectory(prefix="mekiki-retrain-", dir=store.root) as folder:
        data = Path(folder) / "train"
        checkout(store, learned, data)
        run_fit(recipe.options(data, options.out), say)
    return open_bundle(options.out)
