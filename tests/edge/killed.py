"""`mekiki-edge`, killed -9 in the middle of what it writes: `python -m tests.edge.killed MOMENTS COMMAND...`.

A moment is `copy:2`, before the second file of a bundle is copied, or `record:3`, before the third time that one of the
two files of a store's record is replaced. With several, `COMMAND` is run for each, with `{moment}` in it replaced.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from edge.cli import main as command


def kill_at(moment: str, arguments: list[str]) -> int:
    """Runs the command until then."""
    what, _, number = moment.partition(":")
    left = int(number)

    def before(real: Callable[..., object], counts: Callable[[Path], bool]) -> Callable[..., object]:
        def do(source: object, target: object, *rest: object, **named: object) -> object:
            nonlocal left
            if counts(Path(str(target))):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return real(source, target, *rest, **named)

        return do

    is_record = what == "record"
    replaced = before(os.replace, lambda target: is_record and target.name.startswith("state."))
    copied = before(shutil.copyfile, lambda target: not is_record)
    with mock.patch.object(os, "replace", replaced), mock.patch.object(shutil, "copyfile", copied):
        return command([argument.format(moment=moment) for argument in arguments])


def main(moments: list[str], arguments: list[str]) -> int:
    """Each in a process that begins with all imports done: nothing of OpenVINO may live at the fork."""
    import edge.manage
    import edge.settings  # noqa: F401

    for moment in moments:
        if not (pid := os.fork()):
            os._exit(kill_at(moment, arguments))
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, f"{moment}: it was not killed there"
    return 0


if __name__ == "__main__":
    wanted = sys.argv[1].split(",")
    raise SystemExit(kill_at(wanted[0], sys.argv[2:]) if len(wanted) == 1 else main(wanted, sys.argv[2:]))
