"""`make demo`: twenty good screws to verdicts on the line, with the commands that a user types.

Runs them as processes of their own and listens like a PLC gateway would. Nothing here knows more
than a user does: the model sees good parts only, the line brings parts that it never saw.
"""

from __future__ import annotations

import contextlib
import json
import random
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models.errors import ConfigError, MekikiError

HOME = Path("out/demo")
LEARN, PER_KIND = 20, 40
MAX_FALSE_REJECTS = 2
PARTS_PER_S = 2.5
_BIN = Path(sys.executable).parent
_START_TIMEOUT_S = 120


def main(arguments: list[str]) -> int:
    """Runs the demo on `arguments[0]`, a dataset in MVTec AD's layout, or on rendered screws."""
    started = time.monotonic()
    try:
        shutil.rmtree(HOME, ignore_errors=True)
        HOME.mkdir(parents=True)
        truth = _real(Path(arguments[0])) if arguments else _rendered()
        _run("mekiki-train", "fit", "--family", "anomaly", "--data", HOME / "parts", "--out", HOME / "parts.bundle")
        _run("mekiki-deploy", "push", HOME / "parts.bundle", "--to", HOME / "store")
        verdicts, metrics = _line(len(truth))
        good = _summary(verdicts, truth, metrics)
    except MekikiError as error:
        print(f"demo: {error}", file=sys.stderr)
        return error.exit_code
    print(f"\n{time.monotonic() - started:.0f} s in all")
    return 0 if good or arguments else 1


def _rendered() -> dict[str, str]:
    _run("mekiki-train", "render", "--out", HOME / "parts", "--good", LEARN)
    unseen = ["--good", 0, "--test-good", PER_KIND, "--scratched", PER_KIND, "--seed", 1]
    _run("mekiki-train", "render", "--out", HOME / "unseen", *unseen)
    return _fill_line(HOME / "unseen" / "test")


def _real(data: Path) -> dict[str, str]:
    """The first good images to learn from; all test images go over the line, unseen."""
    learn = sorted((data / "train" / "good").glob("*"))[:LEARN]
    if not learn or not (data / "test").is_dir():
        raise ConfigError(f"{data}: wanted train/good/ and test/<kind>/ with images; give DATA=path/to/mvtec/screw")
    (HOME / "parts" / "good").mkdir(parents=True)
    for path in learn:
        (HOME / "parts" / "good" / path.name).symlink_to(path.resolve())
    return _fill_line(data / "test")


def _fill_line(test: Path) -> dict[str, str]:
    """Shuffles the parts onto the line, under names that give nothing away. Returns name -> kind."""
    parts = sorted(path for path in test.glob("*/*") if path.is_file())
    random.Random(0).shuffle(parts)  # noqa: S311
    (HOME / "line").mkdir()
    truth = {}
    for number, path in enumerate(parts):
        name = f"part_{number:03}{path.suffix}"
        (HOME / "line" / name).symlink_to(path.resolve())
        truth[name] = path.parent.name
    return truth


def _line(count: int) -> tuple[list[dict[str, Any]], str]:
    """Starts the daemon, listens to every verdict, scrapes its metrics meanwhile."""
    bus, replay = (f"tcp://127.0.0.1:{_free_port()}" for _ in range(2))
    metrics, config = _free_port(), HOME / "edge.toml"
    config.write_text(
        f'store = "store"\n\n[[camera]]\nname = "top"\nkind = "folder"\npath = "line"\nfps = {PARTS_PER_S}\n\n'
        f'[bus]\nbind = "{bus}"\nreplay = "{replay}"\nwait_for_subscriber_s = {_START_TIMEOUT_S}\n\n'
        f"[metrics]\nport = {metrics}\n"
    )
    _run("mekiki-edge", "check", "--config", config)
    listen = ["listen", "--connect", bus, "--replay", replay, "--count", count, "--timeout", _START_TIMEOUT_S]
    with _started("mekiki-edge", *listen) as listener, _started("mekiki-edge", "run", "--config", config) as daemon:
        verdicts, scrape = [], ""
        for line in listener.stdout or ():
            verdicts.append(json.loads(line))
            _show_progress(len(verdicts), count)
            if len(verdicts) % 10 == 0 or len(verdicts) == count - 1:
                scrape = _scrape(metrics) or scrape
        for name, process in (("mekiki-edge listen", listener), ("mekiki-edge run", daemon)):
            if code := process.wait(timeout=60):
                raise MekikiError(f"{name} ended with {code}; see what it printed above")
    return verdicts, scrape


def _summary(verdicts: list[dict[str, Any]], truth: dict[str, str], metrics: str) -> bool:
    """Prints what came out; True when no defect passed and few good parts were rejected."""
    table = Counter((truth[verdict["source"]], verdict["outcome"]) for verdict in verdicts)
    kinds = sorted(set(truth.values()), key=lambda kind: (kind != "good", kind))
    print(f"\n{'':<16}{'ok':>8}{'ng':>8}{'unknown':>9}")
    for kind in kinds:
        print(f"{kind:<16}" + f"{table[kind, 'ok']:>8}{table[kind, 'ng']:>8}{table[kind, 'unknown']:>9}")
    holes = [v["seq"] for v in verdicts] != list(range(len(truth)))
    print(f"\nverdicts {len(verdicts)} of {len(truth)}, {'HOLES' if holes else 'no hole'} in (epoch, camera, seq)")
    for stage, words in (("infer_s", "inference"), ("total_s", "capture to verdict")):
        times = sorted(verdict["stages"][stage] for verdict in verdicts)
        p50, p99 = (times[int(share * (len(times) - 1))] * 1e3 for share in (0.5, 0.99))
        print(f"{words:<20}p50 {p50:6.1f} ms   p99 {p99:6.1f} ms")
    counted = [line for line in metrics.splitlines() if line.startswith("mekiki_verdicts_total{")]
    print("/metrics said, just before the end:", *counted, sep="\n  ")
    sheet = _picture(verdicts, truth)
    print(f"pictures: {sheet}, {HOME / 'parts.bundle.report'}")
    missed = sum(n for (kind, outcome), n in table.items() if kind != "good" and outcome == "ok")
    return missed == 0 and table["good", "ng"] <= MAX_FALSE_REJECTS and not holes and len(verdicts) == len(truth)


def _picture(verdicts: list[dict[str, Any]], truth: dict[str, str]) -> Path:
    """A sheet of parts as they were judged: mistakes first, then the line in order."""
    from trainer.pictures import draw_verdicts

    wrong = [v for v in verdicts if (truth[v["source"]] == "good") != (v["outcome"] == "ok")]
    shown = (wrong + [v for v in verdicts if v not in wrong])[:24]
    path = HOME / "verdicts.jpg"
    draw_verdicts(path, [(HOME / "line" / v["source"], truth[v["source"]], v) for v in shown])
    return path


def _run(command: str, *arguments: object) -> None:
    _show_command(command, *arguments)
    code = subprocess.run([_BIN / command, *map(str, arguments)], check=False).returncode
    if code:
        raise MekikiError(f"{command} ended with {code}; see what it printed above")


@contextlib.contextmanager
def _started(command: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    _show_command(command, *arguments)
    output = subprocess.PIPE if arguments[0] == "listen" else None
    process = subprocess.Popen([_BIN / command, *map(str, arguments)], stdout=output, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=30)


def _show_command(command: str, *arguments: object) -> None:
    print(f"\n$ {command} {shlex.join(map(str, arguments))}", flush=True)


def _show_progress(done: int, count: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {count} verdicts", end="" if done < count else "\n", file=sys.stderr, flush=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _scrape(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:  # the daemon had its last part and left
        return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
