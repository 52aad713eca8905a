"""The whole circle in short: one box behind a real sshd, bundles that need no training. `make loop` is the long one."""

import pytest

from tests.deploy.sshd import need_sshd
from tests.system.loop import run_loop
from tests.system.tinies import Tinies


@pytest.mark.timeout(600)
def test_the_loop_from_a_first_bundle_to_one_that_the_box_takes_back_closes(tmp_path):
    need_sshd()
    said: list[str] = []
    try:
        loop = run_loop(tmp_path / "loop", Tinies(), said.append)
    finally:
        print("\n".join(said))
    assert list(loop.took) == [
        "train and sign",
        "push to a new box",
        "run",
        "the light changes, and a new defect appears",
        "review",
        "pull",
        "retrain",
        "shadow",
        "push, probation, committed",
        "a bad model, which the box takes back by itself",
    ]
    assert any("no hole" in line for line in said)
