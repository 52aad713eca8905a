"""Runs the benchmarks of README.md beside it, one after the other, each a process, and says how long each took."""

import subprocess
import sys
import time

BENCHMARKS = (
    "edge_size",
    "lossless",
    "evidence",
    "resize",
    "throughput",
    "latency",
    "cameras",
    "overload",
    "scrape",
    "install",
    "push",
    "shadow",
    "cold_start",
    "memory",
    "coreset",
    "precision",
    "screws",
    "boxes_latency",
    "bf16_steps",
)


def main() -> int:
    codes = []
    for name in BENCHMARKS:
        print(f"\n== {name}: python -m tests.bench.{name}", flush=True)
        started = time.monotonic()
        codes.append(subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], check=False).returncode)
        print(f"== {name}: took {time.monotonic() - started:.0f} s", flush=True)
    return int(any(codes))


if __name__ == "__main__":
    raise SystemExit(main())
