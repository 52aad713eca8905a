"""`mekiki-edge review`: shows parts in a terminal and takes answers. What it writes is in edge/review.py."""

import contextlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import cv2

from edge.review import Asked, Reviews, drawn
from models.errors import ConfigError, MekikiError
from models.files import write_whole
from models.review import Said, objection, standing, truth_of

Say = Callable[[str], None]
KEYS: Final[dict[str, Said]] = {"a": "agree", "f": "false_reject", "m": "missed_defect", "u": "unclear"}
_MORE = "[s]kip, [z] take the last answer back, [q]uit"


def list_parts(parts: Sequence[Asked], say: Say, *, as_json: bool) -> None:
    """A line for each."""
    for part in parts:
        say(json.dumps(_as_json(part)) if as_json else f"{part.key}  {_words(part)}")
    if not parts and not as_json:
        say("no part waits for an answer; --all shows what is kept")


def show(part: Asked, say: Say, picture: Path | None = None) -> None:
    """All that is known of a part; with `picture`, a PNG to write, also what the model saw."""
    say(f"{part.key}\n  verdict  {_words(part)}\n  picture  {part.picture}")
    if part.verdict.detail is not None:
        say(f"  detail   {part.verdict.detail}")
    if part.heatmap is not None:
        say(f"  heatmap  {part.heatmap}")
    for answer in part.answers:
        words = " ".join(filter(None, (answer.said, answer.kind, answer.note and f"({answer.note})")))
        say(f"  said     {words}, by {answer.by} at {answer.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC")
    if picture is not None:
        write_whole(picture, cv2.imencode(".png", drawn(part))[1].tobytes())
        say(f"  overlay  {picture}")


@dataclass(frozen=True, slots=True)
class Terminal:
    """Where a person sits."""

    say: Say
    key: Callable[[], str]  # one key that is pressed, "" at the end
    line: Callable[[str], str]  # what is typed after a prompt


class Session:
    """One person, part after part."""

    def __init__(self, reviews: Reviews, by: str, terminal: Terminal, viewer: str | None = None) -> None:
        self._reviews, self._by, self._viewer = reviews, by, viewer
        self._terminal, self._say = terminal, terminal.say
        self._last: Asked | None = None

    def run(self, parts: Sequence[Asked]) -> int:
        """Shows one after the other until all have an answer or the person leaves; how many got one."""
        done = 0
        with tempfile.TemporaryDirectory(prefix="mekiki-review-") as folder:
            for number, part in enumerate(parts, start=1):
                self._say(f"\n{number} of {len(parts)}")
                self._show(part, Path(folder) / f"{part.key.partition('/')[2]}.png")
                said = self._answer(part)
                if said is None:
                    break
                done += said
        self._say(f"{done} answered, {len(parts) - done} left")
        return done

    def _show(self, part: Asked, picture: Path) -> None:
        try:
            show(part, self._say, picture)
        except (MekikiError, OSError) as error:  # one that cannot be shown must not keep the others out
            self._say(f"  {error}")
        if self._viewer is not None and picture.exists():
            try:
                subprocess.Popen([*shlex.split(self._viewer), str(picture)])
            except OSError as error:
                raise ConfigError(f"--viewer {self._viewer}: {error.strerror}; install it or name another") from error

    def _answer(self, part: Asked) -> bool | None:
        """Whether there is an answer now; None when the person leaves."""
        fitting = {key: said for key, said in KEYS.items() if objection(part.verdict.outcome, said) is None}
        choice = ", ".join(f"[{said[0]}]{said[1:]}" for said in fitting.values())
        while True:
            self._say(f"  {choice}, {_MORE}")
            match self._terminal.key().lower():
                case "" | "q":
                    return None
                case "s":
                    return False
                case "z":
                    self._take_back()
                case key if key in fitting:
                    self._write(part, fitting[key])
                    return True

    def _write(self, part: Asked, said: Said) -> None:
        kind = None
        if truth_of(part.verdict.outcome, said) == "defect":
            kind = self._terminal.line("  kind of defect (empty: not said) ").strip() or None
        try:
            self._reviews.say(part, said, self._by, kind)
        except ConfigError as error:
            self._say(f"  {error}")
            self._write(part, said)
            return
        self._last = part
        self._say(f"  {said}, by {self._by}")

    def _take_back(self) -> None:
        if self._last is None:
            self._say("  no answer yet that could be taken back")
            return
        self._reviews.say(self._last, "undo", self._by)
        self._say(f"  taken back: {self._last.key}; it is open again")
        self._last = None


def key_of_terminal() -> str:
    """One key, none that was pressed before; where stdin is no terminal, the first letter of a line."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().strip()[:1]
    with _one_key_at_a_time():
        return os.read(sys.stdin.fileno(), 1).decode("latin-1")


@contextlib.contextmanager
def _one_key_at_a_time() -> Iterator[None]:
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)  # a key pressed twice must not answer for the next part: it throws away what waits
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def line_of_terminal(prompt: str) -> str:
    """What a person types behind the prompt."""
    try:
        return input(prompt)
    except EOFError:
        return ""


def _words(part: Asked) -> str:
    verdict = part.verdict
    at = datetime.fromtimestamp(verdict.captured_at_ns / 1e9, UTC)
    score = "" if verdict.score is None else f" {verdict.score:.4g}"
    score += "" if verdict.threshold is None else f" (threshold {verdict.threshold:.4g})"
    reason = "" if verdict.reason in (None, "defect") else f" {verdict.reason}"
    asked = "" if part.why is None else f"  asked for: {part.why}"
    said = "".join(f"  {answer.by}: {answer.said}" for answer in standing(part.answers))
    name = "" if verdict.part_id is None else f"  part {verdict.part_id}"
    return f"{verdict.outcome}{reason}{score}  {at:%Y-%m-%d %H:%M:%S} UTC{name}{asked}{said}"


def _as_json(part: Asked) -> dict[str, object]:
    return {
        "part": part.key,
        "asked_for": part.why,
        "verdict": part.verdict.model_dump(mode="json"),
        "picture": str(part.picture),
        "heatmap": None if part.heatmap is None else str(part.heatmap),
        "answers": [answer.model_dump(mode="json", exclude={"verdict"}) for answer in part.answers],
    }
