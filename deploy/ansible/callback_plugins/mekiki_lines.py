"""What Ansible does on each box, as lines of JSON on stdout: how `mekiki-deploy` follows it. Runs in Ansible's process.

One object a line: `{"boxes": [...]}` when a play begins, then `{"box", "task", "how"}` with how = starts, ok, skipped,
again, failed, unreachable, and of a result `rc`, `stdout`, `stderr`, `msg`. Nothing else of a result leaves: a box's
variables may hold secrets.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from ansible.plugins.callback import CallbackBase

if TYPE_CHECKING:
    from ansible.executor.task_result import CallbackTaskResult
    from ansible.inventory.host import Host
    from ansible.playbook.play import Play
    from ansible.playbook.task import Task

DOCUMENTATION = """
    name: mekiki_lines
    type: stdout
    short_description: lines of JSON for mekiki-deploy
    description:
        - One JSON object for each step on each host.
"""
_KEPT = ("stdout", "stderr", "msg")


class CallbackModule(CallbackBase):  # type: ignore[misc]  # Ansible is untyped
    """Ansible calls these, in its main process."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "mekiki_lines"

    def v2_playbook_on_play_start(self, play: Play) -> None:
        """A batch begins; the boxes are those of all batches."""
        variables = play.get_variable_manager().get_vars(play=play, include_hostvars=False)
        _write({"boxes": list(variables["ansible_play_hosts_all"])})

    def v2_runner_on_start(self, host: Host, task: Task) -> None:
        """A task begins on a box."""
        _write({"box": host.get_name(), "task": _name(task), "how": "starts"})

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """It went well."""
        _result(result, "ok")

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        """It failed, for good unless the playbook says otherwise."""
        _result(result, "ok" if ignore_errors else "failed")

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        """The box did not answer."""
        _result(result, "unreachable")

    def v2_runner_on_skipped(self, result: CallbackTaskResult) -> None:
        """There was nothing to do."""
        _result(result, "skipped")

    def v2_runner_retry(self, result: CallbackTaskResult) -> None:
        """It is tried again."""
        _result(result, "again")


def _name(task: Task) -> str:
    return str(task.get_name()).rpartition(" : ")[2]  # without the role's


def _result(result: CallbackTaskResult, how: str) -> None:
    said = {key: str(result.result[key]) for key in _KEPT if key in result.result}
    code = result.result.get("rc")
    rc = {"rc": code} if isinstance(code, int) else {}
    _write({"box": result.host.get_name(), "task": _name(result.task), "how": how, **rc, **said})


def _write(said: dict[str, Any]) -> None:
    try:
        sys.stdout.write(json.dumps(said, default=str) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:  # whoever followed this is gone: nothing new is begun
        os._exit(1)
