"""A production line for the loop: places under a camera, parts that lie there, and a person who knows them."""

import json
import subprocess
import sys
from collections import Counter

from models.prediction import Image
from models.review import KeptVerdict
from tests import tiny
from tests.edge.box import ROOT, Box

Parts = list[tuple[str, Image]]  # what a part is, "good" or the kind of its defect, and its picture


class Line:
    """A folder of pictures that a camera goes round in. What lies in a place may change while it runs."""

    def __init__(self, box: Box) -> None:
        self._box, self.folder = box, box.folder / "line"
        self.truth: dict[str, str] = {}

    def bring(self, parts: Parts) -> None:
        """Other parts into the same places, each at once."""
        self.folder.mkdir(exist_ok=True)
        for number, (kind, image) in enumerate(parts):
            name = f"{number:03}.png"
            tiny.write_image(self._box.folder / "next.png", image).replace(self.folder / name)
            self.truth[name] = kind

    def reviewed(self, since_ns: int, by: str) -> Counter[str]:
        """One person answers for each place once, of what was captured after that moment; how often what was said."""
        waiting = [part for part in self._asked() if KeptVerdict.model_validate(part["verdict"]).source]
        keys, said, done = [], Counter[str](), set[str]()
        for part in waiting:
            verdict = part["verdict"]
            kind, fresh = self.truth[verdict["source"]], verdict["captured_at_ns"] >= since_ns
            if not fresh or verdict["source"] in done:
                keys.append("s")
                continue
            done.add(verdict["source"])
            answer = _answer(kind, verdict["outcome"])
            said[answer] += 1
            keys += [answer[0], kind] if kind != "good" and answer != "unclear" else [answer[0]]
        self._command("--by", by, keys="".join(f"{key}\n" for key in keys))
        return said

    def _asked(self) -> list[dict]:
        return [json.loads(line) for line in self._command("--list", "--json").splitlines()]

    def _command(self, *arguments: str, keys: str = "") -> str:
        command = [sys.executable, "-m", "edge.cli", "review", "--config", str(self._box.config), *arguments]
        return subprocess.run(command, cwd=ROOT, input=keys, capture_output=True, text=True, check=True).stdout


def _answer(kind: str, outcome: str) -> str:
    """What a person says who knows what the part is."""
    if kind == "good":
        return "agree" if outcome == "ok" else "false_reject"
    return "agree" if outcome == "ng" else "missed_defect"
