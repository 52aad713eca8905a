"""What a scrape costs, with eight cameras at work: `python -m tests.bench.scrape`.

Windows without scrapes and with one a second, by turns, in one daemon: how long a scrape takes, and p99 of what a part
takes from capture to verdict in both.
"""

import tempfile
import time
from pathlib import Path

from tests import tiny
from tests.bench.line import line, percentile
from tests.edge.box import Box, Subscriber

CAMERAS, FPS, WINDOW_S, ROUNDS, WARM = 8, 10, 6.0, 4, 200


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        box = Box(Path(folder), tiny.make_bundle(Path(folder) / "tiny.bundle"))
        box.images("line", [tiny.OK, tiny.NG])
        one = f'kind = "folder"\npath = "line"\nloop = true\npreload = true\nfps = {FPS}\n'
        box.write(
            "\n".join(f'[[camera]]\nname = "c{n}"\n{one}' for n in range(CAMERAS)), bus="wait_for_subscriber_s = 30"
        )
        with Subscriber(box.address) as subscriber, box.daemon():
            subscriber.take(WARM)
            return _measure(box, subscriber)


def _measure(box: Box, subscriber: Subscriber) -> int:
    scrapes_s: list[float] = []
    quiet_s: list[float] = []
    scraped_s: list[float] = []
    for _ in range(ROUNDS):
        quiet_s += _window(subscriber, None, [])
        scraped_s += _window(subscriber, box, scrapes_s)
    print(f"{CAMERAS} cameras at {FPS} a second, {len(scrapes_s)} scrapes of {len(box.scrape()) / 1e3:.0f} kB")
    quiet, scraped = (percentile(found, 0.99) for found in (quiet_s, scraped_s))
    print(f"capture to verdict, p99: {quiet * 1e3:.2f} ms, {scraped * 1e3:.2f} ms while scraped")
    missed = line("a scrape, p95", percentile(scrapes_s, 0.95) * 1e3, "at most", 20.0, "ms")
    return missed | line("capture to verdict, p99: while scraped / without", scraped / quiet, "at most", 1.2, "")


def _window(subscriber: Subscriber, box: Box | None, scrapes_s: list[float]) -> list[float]:
    """Seconds that each part took; `box` is scraped once a second."""
    until_s, next_s, found = time.monotonic() + WINDOW_S, time.monotonic(), []
    while time.monotonic() < until_s:
        found.append(subscriber.next()["stages"]["total_s"])
        if box is not None and time.monotonic() >= next_s:
            next_s, started_s = time.monotonic() + 1, time.perf_counter()
            box.scrape()
            scrapes_s.append(time.perf_counter() - started_s)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
