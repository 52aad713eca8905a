"""A report of a candidate, for people."""

from collections.abc import Callable
from datetime import UTC, datetime

from edge.shadow.report import OUTCOMES, Difference, Report
from models.verdict import Outcome

_SHOWN = 20
_WHY = {
    "line": "as the line left no time",
    "shadow": "as the candidate was at another",
    "no_room": "as their deadline has no room for both",
}


def show(report: Report, say: Callable[[str], None]) -> None:
    """One line after the other."""
    since, until = _minute(report.first_at_ns), _minute(report.last_at_ns)
    say(f"candidate {report.candidate[:12]} beside {report.active[:12]}, {since} to {until} UTC")
    say(f"ng from {report.candidate_threshold:.4g} for the candidate, {report.active_threshold:.4g} for the active one")
    missed = ", ".join(f"{n} {_WHY.get(why, why)}" for why, n in report.dropped.items())
    say(f"judged by both  {report.judged}" + (f"; not by the candidate: {missed}" if missed else ""))
    if len(report.cameras) > 1:
        say("  " + ", ".join(f"{camera} {n}" for camera, n in report.cameras.items()))
    _show_table(report, say)
    for name, time in (("active", report.active_time), ("candidate", report.candidate_time)):
        note = ", in what the line leaves" if name == "candidate" else ""
        say(f"{name:<16}p50 {time.p50_s * 1e3:.1f} ms, p99 {time.p99_s * 1e3:.1f} ms{note}")
    for one in report.differences[:_SHOWN]:
        say(_line(one))
    if len(report.differences) > _SHOWN:
        say(f"and {len(report.differences) - _SHOWN} more: --json lists them")


def _show_table(report: Report, say: Callable[[str], None]) -> None:
    say(f"{'':<16}" + "".join(f"{f'candidate {one}':>20}" for one in OUTCOMES))
    for active in OUTCOMES:
        say(f"active {active:<9}" + "".join(f"{report.table[active][one]:>20}" for one in OUTCOMES))
    say(f"the same        {report.same}")
    say(f"ok -> ng        {report.ok_to_ng}")
    say(f"ng -> ok        {report.ng_to_ok}")
    say("in brackets: 95 % confidence (Clopper-Pearson), for parts like these")


def _line(one: Difference) -> str:
    part = f"{one.camera} {one.seq}" + (f" ({one.part_id})" if one.part_id else "")
    active = _said(one.active, one.active_reason, one.active_score)
    return f"{part}: {active} -> {_said(one.candidate, one.candidate_reason, one.candidate_score)}  {one.evidence}"


def _said(outcome: Outcome, reason: str | None, score: float | None) -> str:
    why = f" ({reason})" if outcome == "unknown" else ""
    return f"{outcome}{why}" + ("" if score is None else f" {score:.4g}")


def _minute(at_ns: int) -> str:
    return f"{datetime.fromtimestamp(at_ns / 1e9, UTC):%Y-%m-%d %H:%M}"
