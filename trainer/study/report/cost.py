"""What a candidate costs: time for one part against the cycle time, parts per second, memory, training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trainer.study.report.found import Found
from trainer.study.report.numbers import NOTHING, duration, megabytes, milliseconds
from trainer.study.report.svg import N_COLOURS, Drawing, Scale
from trainer.study.types import Times

_WIDTH, _HEIGHT = 340, 34
_BEYOND = 3.0  # a cycle time further out than so many times the slowest p99 is not drawn, but written


@dataclass(frozen=True, slots=True)
class Cost:
    """One candidate's line of the table; NOTHING where it was not measured."""

    candidate: str
    index: int  # of its colour
    bar: str  # svg
    latency: str  # p50, p95, p99
    throughput: str
    memory: str
    fit: str
    feasible: bool | None  # None: no cycle time was given, or nothing measured


def costs(found: Found) -> list[Cost]:
    """All candidates, in the study's order."""
    times, end = found.study.times, axis_end(found.study.times)
    return [
        Cost(
            candidate=name,
            index=index,
            bar=_bar(times.latency_s[name], times.cycle_time_s, end, index) if name in times.latency_s else "",
            latency=_latency(times.latency_s.get(name)),
            throughput=f"{times.throughput_per_s[name]:.3g}" if name in times.throughput_per_s else NOTHING,
            memory=megabytes(times.memory_bytes[name]) if name in times.memory_bytes else NOTHING,
            fit=duration(times.fit_s[name]) if name in times.fit_s else NOTHING,
            feasible=times.feasible.get(name) if times.cycle_time_s is not None else None,
        )
        for index, name in enumerate(found.candidates)
    ]


def _latency(latency: Mapping[str, float] | None) -> str:
    return " / ".join(milliseconds(latency[name]) for name in ("p50", "p95", "p99")) if latency else NOTHING


def axis_end(times: Times) -> float:
    """Seconds at the right end of all bars: beyond the slowest, and beyond the cycle time where that is near."""
    slowest = max((one["p99"] for one in times.latency_s.values()), default=1e-3)
    cycle = times.cycle_time_s or 0.0
    return 1.12 * (max(slowest, cycle) if cycle <= _BEYOND * slowest else slowest)


def cycle_is_drawn(times: Times) -> bool:
    """Whether the cycle time lies on the bars' axis."""
    return times.cycle_time_s is not None and times.cycle_time_s <= axis_end(times)


def _bar(latency: Mapping[str, float], cycle: float | None, end: float, index: int) -> str:
    """p99 as a pale bar, p95 on it, p50 on that; the cycle time as a line across."""
    drawing = Drawing(_WIDTH, _HEIGHT, ", ".join(f"{name} {milliseconds(value)}" for name, value in latency.items()))
    x = Scale(0, end, 2, _WIDTH - 2)
    for name, inset in (("p99", 4), ("p95", 8), ("p50", 12)):
        width = x(latency[name]) - x(0)
        drawing.add(
            "rect", f"bar {name} s{index % N_COLOURS}", x=x(0), y=inset, width=width, height=_HEIGHT - 2 * inset
        )
    drawing.line((x(0), 0), (x(0), _HEIGHT), "axis")
    if cycle is not None and cycle <= end:
        drawing.line((x(cycle), 0), (x(cycle), _HEIGHT), "threshold")
    return str(drawing)
