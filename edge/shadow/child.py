"""The process in which a candidate judges: `python -m edge.shadow.child MEMORY SOCKET PARENT`.

`edge/shadow/process.py` starts it. It is the last to get the processor and the first to lose its memory, also while
it begins: whatever is large is imported after that, and every thread that is made has it from this one.
"""

import contextlib
import os
import sys
from pathlib import Path

from edge.child import die_with

_FIRST_TO_GO = "1000"


def main(arguments: list[str]) -> int:
    """Judges what it is asked to, until the daemon goes."""
    memory, end, parent = (int(argument) for argument in arguments)
    step_far_back()
    die_with(parent)
    from multiprocessing.connection import Connection

    import cv2

    from edge.cameras.ring import Ring
    from edge.shadow.judge import serve

    cv2.setNumThreads(1)
    ring = Ring.received(memory)
    os.close(memory)
    with contextlib.suppress(EOFError, OSError):  # the daemon closed its end: we are no longer wanted
        serve(ring, Connection(end))
    return 0


def step_far_back() -> None:
    """Whatever else wants to run goes before this process, at once. Each is refused in some containers: no harm."""
    with contextlib.suppress(OSError):
        os.nice(19)
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
