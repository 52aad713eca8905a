"""Twice as many triggered parts as the device can judge, with a deadline: `python -m tests.bench.overload`.

Every part must get a verdict, none later than its deadline + 5 ms at the subscriber. Parts that would be too late are
`unknown` (deadline), which is said before the deadline and not after.
"""

import json
import tempfile
import time
from collections import Counter
from pathlib import Path

import zmq

from tests.bench.latency import inference_s
from tests.bench.line import line, make_line
from tests.edge.box import Box, Subscriber

PARTS, OVERLOAD, LATE_MS = 400, 2.0, 5.0
INFERENCES_PER_DEADLINE = 6


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        bundle, frames = make_line(Path(folder))
        infer_s = inference_s(Path(folder), bundle, frames)
        deadline_s = round(INFERENCES_PER_DEADLINE * infer_s, 3)
        sent_ns, arrived = _triggered(Path(folder), bundle, frames, infer_s / OVERLOAD, deadline_s)
    return _figures(sent_ns, arrived, deadline_s, infer_s)


def _triggered(folder: Path, bundle: Path, frames: Path, period_s: float, deadline_s: float):
    """When each part was triggered, and when each verdict was read."""
    box = Box(folder, bundle)
    extra = f'loop = true\npreload = true\ntrigger = "external"\ndeadline_s = {deadline_s}\nqueue = 64'
    box.write_folder(str(frames), extra, bus="wait_for_subscriber_s = 30")
    sent_ns: dict[str, int] = {}
    arrived: list[tuple[int, dict]] = []
    context = zmq.Context()
    with Subscriber(box.address) as subscriber, box.daemon():
        plc = context.socket(zmq.DEALER)
        plc.connect(box.trigger)
        plc.send(b'{"version":1,"camera":"top","part_id":"first"}')
        assert plc.poll(60_000), "the daemon did not start"
        subscriber.next()
        start_s = time.monotonic()
        while len(arrived) < PARTS:
            due = len(sent_ns) < PARTS and time.monotonic() >= start_s + len(sent_ns) * period_s
            if due:
                part_id = str(len(sent_ns))
                sent_ns[part_id] = time.monotonic_ns()
                plc.send(json.dumps({"version": 1, "camera": "top", "part_id": part_id}).encode())
            if (verdict := subscriber.poll(0.002)) is not None:
                arrived.append((subscriber.read_ns, verdict))
            assert time.monotonic() < start_s + PARTS * period_s + 30, f"{len(arrived)} of {PARTS} verdicts came"
    context.destroy(linger=0)
    return sent_ns, arrived


def _figures(sent_ns: dict[str, int], arrived: list[tuple[int, dict]], deadline_s: float, infer_s: float) -> int:
    late_ms = [_late_ms(at_ns, verdict, sent_ns, deadline_s) for at_ns, verdict in arrived]
    outcomes = Counter(verdict["reason"] or verdict["outcome"] for _, verdict in arrived)
    rate, infer_ms, deadline_ms = OVERLOAD / infer_s, infer_s * 1e3, deadline_s * 1e3
    print(f"{PARTS} parts at {rate:.1f}/s, inference {infer_ms:.1f} ms, deadline {deadline_ms:.0f} ms")
    print("verdicts:", ", ".join(f"{name} {count}" for name, count in outcomes.most_common()))
    whole = sorted(verdict["part_id"] for _, verdict in arrived) == sorted(sent_ns)
    missed = line("parts with exactly one verdict / parts", len(arrived) / PARTS if whole else 0.0, "at least", 1.0, "")
    busy_s = sum(verdict["stages"]["infer_s"] for _, verdict in arrived)  # of parts that were judged in time
    share = busy_s / (PARTS * infer_s / OVERLOAD)
    missed |= line("share of the time that went into verdicts", share, "at least", 0.80, "")
    return missed | line("latest verdict after its deadline", max(late_ms), "at most", LATE_MS, "ms")


def _late_ms(at_ns: int, verdict: dict, sent_ns: dict[str, int], deadline_s: float) -> float:
    """From capture; from the trigger where no picture came."""
    has_picture = verdict["source"] is not None
    since_ns = verdict["captured_ns"] if has_picture else sent_ns[verdict["part_id"]]
    return (at_ns - since_ns) / 1e6 - deadline_s * 1e3


if __name__ == "__main__":
    raise SystemExit(main())
