"""Runs every benchmark, one after the other, in a process of its own."""

import subprocess
import sys

BENCHMARKS = (
    "edge_size",
    "lossless",
    "resize",
    "throughput",
    "latency",
    "cameras",
    "overload",
    "scrape",
    "install",
    "push",
    "shadow",
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
        codes.append(subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], check=False).returncode)
    return int(any(codes))


if __name__ == "__main__":
    raise SystemExit(main())
