"""What ssh, rsync and boxes say, and what a person reads of it."""

import pytest

from deploy.faults import in_words
from deploy.playbook import Said
from deploy.table import age, lines_of, size


def of(how: str = "failed", **said: object) -> str:
    return in_words(Said.model_validate({"box": "a", "task": "send", "how": how, **said}))


@pytest.mark.parametrize(
    ("msg", "words"),
    [
        ("u@h: Permission denied (publickey).", "refuses our key; bring this workstation's public key into"),
        ("Host key verification failed.", "its host key is not known here; compare it at the box"),
        ("WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\nHost key verification failed.", "shows another host key"),
        ("ssh: connect to host h port 22: Connection refused", "nothing listens there; start sshd on it"),
        ("ssh: Could not resolve hostname h: Name or service not known", "its name is not known; correct ansible_host"),
        ("ssh: connect to host h port 22: No route to host", "cannot be reached; see that it is on and connected"),
        ("ssh: connect to host h port 22: Connection timed out", "cannot be reached; see that it is on and connected"),
        ("kex_exchange_identification: odd", "cannot be reached: kex_exchange_identification: odd"),
    ],
)
def test_a_box_that_cannot_be_reached_says_why_and_what_to_do(msg, words):
    assert of("unreachable", msg=f"Failed to connect to the host via ssh: {msg}").startswith(words)
    assert of(rc=255, stderr=msg).startswith(words)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"rc": 127, "stderr": "bash: line 1: rsync: command not found\nrsync error: code 12"}, "has no rsync;"),
        ({"rc": 11, "stderr": 'rsync: write failed on "/x": No space left on device (28)'}, "its disk is full; free"),
        ({"rc": 127, "stderr": "sh: 1: /opt/mekiki/bin/mekiki-edge: not found"}, "sh: 1: /opt/mekiki/"),
        ({"rc": 2, "stderr": "mekiki-edge model: argument ACTION: invalid choice: 'shadow'"}, "its mekiki is too old"),
        ({"rc": 1, "stderr": "a warning\nmekiki-edge: x: wrong; do this\n"}, "x: wrong; do this"),
        ({"msg": "12 MB free at /s, the bundle wants 99 MB"}, "12 MB free at /s, the bundle wants 99 MB"),
        ({"msg": "Task failed: Timed out after 120 second(s)."}, "did not answer in time; see what it is busy with"),
        ({"rc": 3, "msg": "non-zero return code"}, "failed without a word"),
    ],
)  # fmt: skip
def test_a_box_on_which_something_failed_says_what_in_one_line(said, words):
    found = of(**said)
    assert found.startswith(words)
    assert "\n" not in found


def test_columns_are_as_wide_as_they_must_be():
    assert list(lines_of(("BOX", "WHAT"), [["line3-a", "x y"], ["b", ""]])) == ["BOX      WHAT", "line3-a  x y", "b"]
    assert list(lines_of(("BOX", "WHAT"), [])) == ["BOX  WHAT"]


def test_sizes_and_ages_are_as_people_read_them():
    assert [size(n) for n in (7, 11_600, 50_100_000, 63_600_000_000)] == ["7 bytes", "11.6 kB", "50.1 MB", "63.6 GB"]
    assert [age(s) for s in (3, 150, 7200, 9e5)] == ["3 s ago", "2 min ago", "2 h ago", "10 days ago"]
    assert age(-2) == "ahead of its clock"
