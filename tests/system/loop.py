"""`make loop`: the whole circle that keeps a line good, against a real sshd on loopback and a real daemon.

    train, sign, push -> run -> the light changes and a new defect appears -> review -> pull -> retrain
    -> shadow -> push -> probation -> committed; then a bad model, which the box takes back by itself

Everything is done by the commands that a person types. What the models are is told by a Recipe: the long one fits
on rendered screws, the short one of the tests is made of tiny bundles.
"""

import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from models.bundle import open_bundle
from tests.deploy.sshd import Plant
from tests.edge.box import ROOT, no_holes, wait_for
from tests.system.line import Line, Parts

LIMIT_S = 180
Say = Callable[[str], None]


class Recipe(Protocol):
    """Where models and parts come from."""

    over_ssh: bool  # every time; else only where nothing shorter does the same
    deadline_s: float
    fps: float
    probation: int  # parts

    def first(self, folder: Path, run: "Run") -> Path:
        """Makes the data set `folder`/parts and the first bundle from it."""

    def next(self, folder: Path, first: Path, run: "Run") -> Path:
        """The second bundle, from what was pulled to `folder`/pulled."""

    def bad(self, folder: Path, good: Path, run: "Run") -> Path:
        """One that calls every part ng."""

    def usual(self) -> Parts:
        """What the line brings at first."""

    def drifted(self) -> Parts:
        """And after the light has changed, and a new defect has appeared."""


@dataclass
class Run:
    """Runs our commands as a person would, and shows them."""

    say: Say
    plant: Plant

    def __call__(self, room: str, *arguments: object, wanted: int = 0) -> str:
        """What it printed; `room` is edge, trainer or deploy. Raises AssertionError for another exit code."""
        name = {"edge": "mekiki-edge", "trainer": "mekiki-train", "deploy": "mekiki-deploy"}[room]
        self.say(f"$ {name} {' '.join(map(self._short, arguments))}")
        command = [sys.executable, "-m", f"{room}.cli", *map(str, arguments)]
        environment = {name: value for name, value in self.plant.environment.items() if not name.startswith("MEKIKI_")}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=900
        )
        for line in done.stdout.splitlines():
            self.say(f"  {line}")
        errors = [line for line in done.stderr.splitlines() if line.startswith("mekiki-")]
        for line in errors:
            self.say(f"  {line}")
        assert done.returncode == wanted, f"exit code {done.returncode}, wanted {wanted}: {done.stderr[-2000:]}"
        return done.stdout

    def _short(self, argument: object) -> str:
        return str(argument).removeprefix(f"{self.plant.folder}/")


class Loop:
    """One circle in `plant`, which has one box."""

    def __init__(self, plant: Plant, recipe: Recipe, say: Say) -> None:
        self.plant, self.recipe, self.say = plant, recipe, say
        self.run = Run(say, plant)
        (self.far,) = plant.boxes.values()
        self.folder, self.box = plant.folder, self.far.box
        self.line = Line(self.box)
        self.took: dict[str, float] = {}

    def go(self) -> None:
        """All of it. Raises AssertionError where a step did not end as it should."""
        with self.step("train and sign"):
            first = self.recipe.first(self.folder, self.run)
            self.run("deploy", "keys", "--out", self.folder / "signing", "--name", "line-2026")
            self.sign(first)
        with self.step("push to a new box"):
            self.settings()
            self.far.start()
            place = self.plant.inventory if self.recipe.over_ssh else self.far.store.root
            self.run("deploy", "push", first, "--to", place)
        shutil.rmtree(self.line.folder)
        self.line.bring(self.recipe.usual())
        with self.box.daemon():
            self._on_the_line(first)
        self._prove_no_hole()

    def _on_the_line(self, first: Path) -> None:
        with self.step("run"):
            self.verdicts(2 * len(self.line.truth))
            self.say(f"  {self.counted()}")
        with self.step("the light changes, and a new defect appears"):
            self.line.bring(self.recipe.drifted())
            since_ns = time.time_ns() + 1_000_000_000
            self.verdicts(3 * len(self.line.truth) + int(2 * self.recipe.fps))
            self.say(f"  {self.counted(since_ns)}")
        with self.step("review"):
            said = self.line.reviewed(since_ns, "sato")
            self.say(f"  sato said: {', '.join(f'{n} times {what}' for what, n in sorted(said.items()))}")
            assert said["false_reject"], "the new light should have cost good parts"
        with self.step("pull"):
            self.run("deploy", "pull", "--from", self.plant.inventory, "--to", self.folder / "pulled")
        with self.step("retrain"):
            second = self.recipe.next(self.folder, first, self.run)
            self.sign(second)
        self._bring_out(second)
        self._bring_bad(second)

    def _bring_out(self, second: Path) -> None:
        digest = open_bundle(second).digest
        with self.step("shadow"):
            if self.recipe.over_ssh:
                self.run("deploy", "push", second, "--to", self.plant.inventory, "--shadow")
            else:
                self.run("edge", "model", "shadow", second, "--config", self.box.config)
            wait_for(lambda: self._in_shadow() >= 2 * len(self.line.truth), LIMIT_S)
            self.run("edge", "shadow", "report", "--config", self.box.config)
        with self.step("push, probation, committed"):
            self.run("deploy", "push", second, "--to", self.plant.inventory, "--wait", LIMIT_S)
            assert self.far.active == digest
            assert not self.far.store.state().on_probation, "committed"
            if self.recipe.over_ssh:
                self.run("deploy", "status", "--to", self.plant.inventory)

    def _bring_bad(self, good: Path) -> None:
        with self.step("a bad model, which the box takes back by itself"):
            bad = self.recipe.bad(self.folder, good, self.run)
            self.sign(bad)
            if self.recipe.over_ssh:
                self.run("deploy", "push", bad, "--to", self.plant.inventory, "--wait", LIMIT_S, wanted=1)
            else:
                self.run("edge", "model", "install", bad, "--config", self.box.config)
            wait_for(lambda: self.far.active == open_bundle(good).digest, LIMIT_S)
            assert open_bundle(bad).digest in self.far.store.state().failed
            self.run("edge", "model", "history", "--config", self.box.config)
            self.verdicts(len(self.line.truth))

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Says what comes, and how long it took."""
        self.say(f"\n== {name}")
        began = time.monotonic()
        yield
        self.took[name] = time.monotonic() - began
        self.say(f"   {self.took[name]:.1f} s")

    def settings(self) -> None:
        """Of the box: asks about all that looks odd, and about some by chance. A new version may reject much less."""
        trust = self.folder / "signing" / "trust"
        extra = f"loop = true\nfps = {self.recipe.fps}\ndeadline_s = {self.recipe.deadline_s}"
        tables = (
            f"[review]\nband = [0.5, 1000]\nshare = 0.1\n[probation]\nparts = {self.recipe.probation}\nng_fall = 1\n"
            "[evidence]\nok_share = 0\nborderline = 0"
        )
        self.box.write_folder("line", extra, head=f'store = "store"\ntrust = "{trust}"', tables=tables)

    def sign(self, bundle: Path) -> None:
        self.run("deploy", "sign", bundle, "--key", self.folder / "signing" / "line-2026.key")

    def verdicts(self, more: int) -> None:
        """Waits until the box has said so many more."""
        wait_for(self.box.answers, LIMIT_S)
        wanted = self.box.metric("mekiki_verdicts_total") + more
        wait_for(lambda: self.box.metric("mekiki_verdicts_total") >= wanted, LIMIT_S)

    def counted(self, since_ns: int = 0) -> str:
        """What was said of good parts and of defects."""
        table: dict[tuple[str, str], int] = {}
        for verdict in self.box.journal().values():
            if verdict["captured_at_ns"] >= since_ns:
                key = (self.line.truth[verdict["source"]], verdict["outcome"])
                table[key] = table.get(key, 0) + 1
        return ", ".join(f"{n} {kind} {outcome}" for (kind, outcome), n in sorted(table.items()))

    def _in_shadow(self) -> int:
        command = [sys.executable, "-m", "edge.cli", "shadow", "report", "--config", self.box.config, "--json"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        reports: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
        return max((report["judged"] for report in reports), default=0)

    def _prove_no_hole(self) -> None:
        verdicts = list(self.box.journal().values())
        late = sum(verdict["reason"] in ("deadline", "overload") for verdict in verdicts)
        assert no_holes(verdicts)
        self.say(f"\n{len(verdicts)} verdicts in one epoch, no hole, {late} late")


def run_loop(folder: Path, recipe: Recipe, say: Say) -> Loop:
    """Sets up one box behind an sshd of its own, and goes round."""
    plant = Plant(folder, folder / "none", ["line3-a"])
    try:
        loop = Loop(plant, recipe, say)
        loop.go()
        return loop
    finally:
        plant.close()


def main() -> int:
    """Prints what happens, step by step."""
    from functools import partial

    from tests.system.screws import Screws

    home = ROOT / "out" / "loop"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    began = time.monotonic()
    loop = run_loop(home / "plant", Screws(home / "rendered"), partial(print, flush=True))
    print(f"the loop is closed: {len(loop.took)} steps in {time.monotonic() - began:.0f} s; all of it lies in {home}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
