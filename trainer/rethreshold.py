"""`mekiki-train threshold`: scores of the shipped IR in, the trade-off and a new bundle out.

bundle, images -> scores on the IR -> table, curve
                                   -> policy -> threshold -> new bundle
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.bundle import Bundle, open_bundle
from models.errors import ConfigError, DatasetError, MekikiError, ModelError
from models.runner import Runner
from models.threshold import Asked, Threshold
from models.variant import Precision
from trainer.dataset import scan
from trainer.evaluate import Scored, found_in, notes, outcomes, report, review_words, score_images, unlearned
from trainer.export import refuse_existing, write_rethresholded
from trainer.policy import Policy, choose
from trainer.proof import golden_words, threshold_words
from trainer.tradeoff import table, tradeoff
from trainer.tradeoff_plot import check_plot, draw_tradeoff


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a person may choose. Without a policy nothing new is chosen, without `out` no bundle is written."""

    bundle: Path
    data: Path
    defects: tuple[str, ...] = ()
    policy: Policy | None = None
    asked: Asked
    out: Path | None = None
    plot: Path | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What came of it."""

    options: Options
    bundle: Bundle
    report: dict[str, Any]  # as of `evaluate`, and the table under "thresholds"
    new: Threshold | None
    new_outcomes: dict[str, Any]  # of the new threshold; empty without one
    others: dict[Precision, Threshold | str]  # of the variants: each its own, or why it is left out of the new bundle
    made: Bundle | None

    def as_json(self) -> dict[str, Any]:
        """One JSON-ready object."""
        if self.new is None:
            return {**self.report, "new": None}
        written = None if self.made is None else {"path": str(self.made.path), "bundle": self.made.digest}
        others = {
            name: {"left_out": one} if isinstance(one, str) else _as_json(one) for name, one in self.others.items()
        }
        new = {**_as_json(self.new), **self.new_outcomes, "variants": others, "written": written}
        return {**self.report, "new": new}

    def in_words(self) -> str:
        """The same for a person."""
        rows, n_good, n_defect = (self.report[name] for name in ("thresholds", "n_good", "n_defect"))
        lines = [table(rows, n_good, n_defect), *review_words(self.report), *notes({**self.report, "n_not_found": 0})]
        if n_lost := self.report["n_not_found"]:
            lines.append(f"note: {n_lost} image(s) left out, as no part was found; they are unknown at any threshold")
        if self.new is not None:
            lines += [threshold_words(self.new), *review_words(self.new_outcomes)]
            lines += golden_words(self.bundle.manifest.golden, self.new)
        lines += [
            f"variant {name}: left out, {one}" if isinstance(one, str) else f"variant {name}: {threshold_words(one)}"
            for name, one in self.others.items()
        ]
        if self.options.plot is not None:
            lines.append(f"plot: {self.options.plot}")
        if self.made is not None:
            lines.append(f"bundle: {self.made.path} (sha256 {self.made.digest[:12]})")
        elif self.new is not None:
            lines.append("bundle: none was written; add --out BUNDLE2")
        return "\n".join(lines)


def rethreshold(options: Options) -> Found:
    """Scores the images, chooses, and writes what was asked for. Raises MekikiError; then nothing is left behind."""
    _check_paths(options)
    bundle = open_bundle(options.bundle)
    labelled, n_left_out = unlearned(bundle, scan(options.data), options.defects)
    runner = Runner.of(bundle)
    every = score_images(runner, labelled, "score")
    scored = found_in(every)
    good, defect = _scores(scored)
    if not good or not defect:
        raise DatasetError(
            f"{options.data}: a part was found in {len(good)} good images and {len(defect)} of defects; both are "
            "needed to measure: add images"
        )
    new, seen, others = None, [item.sha256 for item in scored], {}
    if options.policy is not None:
        new = choose(options.policy, options.asked, good, defect, seen)
        others = _choose_others(options.policy, options.asked, bundle, labelled)
    marked = _marked("shipped", bundle.manifest.threshold) | _marked("new", new)
    found = report(bundle, scored, runner.device)
    n_lost = len(every) - len(scored)
    found |= {"n_left_out": n_left_out, "n_not_found": n_lost, "thresholds": tradeoff(good, defect, marked)}
    thresholds = {name: one for name, one in others.items() if isinstance(one, Threshold)}
    if new is not None:
        thresholds[bundle.manifest.precision] = new
    made = _write(options, bundle, (good, defect), marked, thresholds)
    return Found(options, bundle, found, new, {} if new is None else outcomes(good, defect, new), others, made)


def _choose_others(
    policy: Policy, asked: Asked, bundle: Bundle, labelled: Sequence[tuple[str, Path]]
) -> dict[Precision, Threshold | str]:
    """By the same policy, for each variant on its own scores; or why it is left out of a bundle with a new threshold.

    A number of the main scale says nothing of another graph's. Raises MekikiError where the images do not prove on a
    variant's scores what was asked.
    """
    found: dict[Precision, Threshold | str] = {}
    for precision in (one.precision for one in bundle.manifest.variants):
        if asked.at is not None or asked.review_from is not None:
            found[precision] = f"as a number was given for the scores at {bundle.manifest.precision}"
            continue
        try:
            runner = Runner.of(bundle.at(precision))
        except ModelError as error:
            found[precision] = f"as it cannot be measured here ({error})"
            continue
        scored = found_in(score_images(runner, labelled, f"score {precision}"))
        try:
            found[precision] = choose(policy, asked, *_scores(scored), [item.sha256 for item in scored])
        except MekikiError as error:
            raise type(error)(f"at {precision}: {error}") from error
    return found


def _check_paths(options: Options) -> None:
    """Raises ConfigError where something would be overwritten, or put into the bundle, which is never edited."""
    for option, path in (("--out", options.out), ("--plot", options.plot)):
        if path is not None and path.resolve().is_relative_to(options.bundle.resolve()):
            raise ConfigError(f"{option} {path}: in {options.bundle}; a bundle stays as it is: name another place")
    if options.out is not None:
        refuse_existing(options.out)
    if options.plot is not None:
        check_plot(options.plot)


def _scores(scored: Sequence[Scored]) -> tuple[list[float], list[float]]:
    """Of the good parts, and of the defects."""
    good = [item.score for item in scored if item.label == "good"]
    return good, [item.score for item in scored if item.label != "good"]


def _as_json(limit: Threshold) -> dict[str, Any]:
    return limit.model_dump(mode="json", exclude={"seen"})


def _marked(name: str, limit: Threshold | None) -> dict[str, float]:
    if limit is None:
        return {}
    review = {} if limit.review_at_or_above is None else {f"{name} review": limit.review_at_or_above}
    return {name: limit.ng_at_or_above, **review}


def _write(
    options: Options,
    bundle: Bundle,
    scores: tuple[list[float], list[float]],
    marked: dict[str, float],
    thresholds: dict[Precision, Threshold],
) -> Bundle | None:
    """The picture, then the bundle: with it the work is done. Where one fails, neither is left."""
    try:
        if options.plot is not None:
            title = f"{options.bundle.resolve().name} on {options.data.resolve().name}"
            draw_tradeoff(options.plot, *scores, marked, title)
        if options.out is None or not thresholds:
            return None
        return write_rethresholded(options.out, bundle, thresholds)
    except BaseException:
        if options.plot is not None:
            options.plot.unlink(missing_ok=True)
        raise
