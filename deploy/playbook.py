"""Runs one of our playbooks on boxes, as a process of Ansible's, and gives what becomes of each step as it happens.

Ansible reaches the boxes; what it says comes as lines of JSON (`deploy/ansible/callback_plugins`). Nothing here knows
what a step means.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from models.errors import ConfigError, MekikiError

ANSIBLE = Path(__file__).with_name("ansible")
MAX_FORKS = 50
_BOXES_FAILED = (2, 4, 6)  # Ansible's exit codes; each box has said so itself


@dataclass(frozen=True, slots=True)
class Boxes:
    """Which boxes: those of an inventory, or of a group of it (or any other pattern of Ansible's)."""

    inventory: Path
    group: str | None = None

    @property
    def words(self) -> str:
        """For a message."""
        return str(self.inventory) if self.group is None else f"{self.group} of {self.inventory}"


class Said(BaseModel):
    """What became of one step on one box."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    box: str
    task: str
    how: Literal["starts", "ok", "skipped", "again", "failed", "unreachable"]
    rc: int | None = None
    stdout: str = ""
    stderr: str = ""
    msg: str = ""


class Play:
    """One run of a playbook. Iterate over it once; `boxes` holds all that it is for after the first step."""

    def __init__(self, name: str, boxes: Boxes, variables: Mapping[str, object], forks: int = 20) -> None:
        """Nothing is started yet. Raises ConfigError where a tool is missing."""
        self._boxes, self.boxes = boxes, list[str]()
        self._told = False  # whether a box said that it failed
        # What people typed is text, also where it looks like one of Ansible's templates.
        given = {name: {"__ansible_unsafe": one} if isinstance(one, str) else one for name, one in variables.items()}
        _refuse_without_tools()
        group = ["--limit", boxes.group] if boxes.group is not None else []
        self._command = [
            *(sys.executable, "-m", "ansible", "playbook", str(ANSIBLE / f"{name}.yml")),
            *("--inventory", str(boxes.inventory.absolute()), *group),
            *("--forks", str(min(forks, MAX_FORKS)), "--extra-vars", json.dumps(given)),
        ]

    def __iter__(self) -> Iterator[Said]:
        """Raises MekikiError where Ansible itself fails, ConfigError where the inventory is the reason."""
        with tempfile.TemporaryFile() as complaints:
            process = subprocess.Popen(
                self._command, env=_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints
            )
            noise: list[str] = []
            try:
                assert process.stdout is not None  # noqa: S101 - for the type checker
                for line in process.stdout:
                    for said in self._read(line, noise):
                        self._told |= said.how in ("failed", "unreachable")
                        yield said
            finally:
                code = _end(process)
            self._refuse(code, noise, complaints)

    def _read(self, line: bytes, noise: list[str]) -> Iterator[Said]:
        text = line.decode(errors="replace").strip()
        try:
            said = json.loads(text)
            if "boxes" in said:
                self.boxes = [str(box) for box in said["boxes"]]
            else:
                yield Said.model_validate(said)
        except (ValueError, TypeError, ValidationError):
            noise.append(text)

    def _refuse(self, code: int, noise: list[str], complaints: IO[bytes]) -> None:
        complaints.seek(0)
        lines = [*noise, *complaints.read().decode(errors="replace").splitlines()]
        told = [line for line in lines if line.strip()]
        if not self.boxes:
            what = next((line for line in told if "ERROR" in line or "Could not match" in line), "no box in it")
            raise ConfigError(f"{self._boxes.words}: {_plain(what)}; correct the inventory or --group")
        if code != 0 and not (code in _BOXES_FAILED and self._told):
            raise MekikiError(f"ansible-playbook ended with {code}: {_plain(' '.join(told[-5:])) or 'no word'}")


def _end(process: subprocess.Popen[bytes]) -> int:
    """Its exit code; whoever no longer listens ends it."""
    if process.stdout is not None:
        process.stdout.close()
    try:
        return process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.terminate()
        return process.wait()
    except BaseException:
        process.terminate()
        raise


def _environment() -> dict[str, str]:
    ours = {
        "ANSIBLE_STDOUT_CALLBACK": "mekiki_lines",
        "ANSIBLE_CALLBACK_PLUGINS": str(ANSIBLE / "callback_plugins"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_DEPRECATION_WARNINGS": "0",
        "LC_ALL": "C.UTF-8",  # Ansible wants UTF-8, and its messages are read
    }
    return {"ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg")} | os.environ | ours


def _refuse_without_tools() -> None:
    if importlib.util.find_spec("ansible") is None:
        raise ConfigError("no ansible-core here, by which boxes are reached; pip install 'mekiki[deploy]'")
    for tool in ("ssh", "rsync"):
        if shutil.which(tool) is None:
            raise ConfigError(f"no {tool} here, by which boxes are reached; install it on this workstation")


def _plain(text: str) -> str:
    return " ".join(text.replace("[ERROR]:", "").replace("[WARNING]:", "").replace("ERROR!", "").split())[:300]
