"""What went wrong on the way to a box or on it, in words, with what to do. No I/O in here."""

import re
from typing import NamedTuple

from deploy.playbook import Said


class _Known(NamedTuple):
    pattern: str  # of what ssh, rsync, a shell or mekiki said
    words: str


_ON_THE_WAY = (
    _Known(r"Permission denied \(", "refuses our key; bring this workstation's public key into its authorized_keys"),
    _Known(
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key .* has changed",
        "shows another host key than before; find out why, then `ssh-keygen -R` it",
    ),
    _Known(
        r"Host key verification failed|host key is known",
        "its host key is not known here; compare it at the box, then ssh-keyscan it into known_hosts",
    ),
    _Known(r"Connection refused", "nothing listens there; start sshd on it, or correct ansible_port"),
    _Known(r"Could not resolve hostname", "its name is not known; correct ansible_host in the inventory"),
    _Known(
        r"timed out|No route to host|Network is unreachable|not responding",
        "cannot be reached; see that it is on and connected, or leave it out (--group 'all:!NAME')",
    ),
)
_THERE = (
    _Known(r"rsync: (command )?not found|rsync: No such file", "has no rsync; install it there"),
    _Known(r"Timed out after \d+ second", "did not answer in time; see what it is busy with, then run this again"),
    _Known(r"No space left on device", "its disk is full; free space there, then run this again"),
    _Known(r"invalid choice", "its mekiki is too old for this; upgrade it"),
    _Known(r"(not found|No such file or directory)$", "{0}; install mekiki there or set mekiki_edge in the inventory"),
    _Known(r"Permission denied|Read-only file system", "{0}; see deploy/README.md, Keys and users"),
)  # fmt: skip


_ANSIBLES = "Failed to connect to the host via ssh: "


def in_words(said: Said) -> str:
    """One line about a step that failed, without the name of the box."""
    msg = said.msg.replace("non-zero return code", "")  # Ansible's word for it says nothing
    text = "\n".join(filter(None, (said.stdout if said.rc else "", said.stderr, msg)))
    if said.how == "unreachable" or said.rc == 255:
        return _first(_ON_THE_WAY, text) or f"cannot be reached: {_last_line(text)}"
    ours = re.findall(r"^mekiki-edge[\w ]*: (.+)$", said.stderr, re.MULTILINE)
    if ours and "invalid choice" not in ours[-1]:
        return str(ours[-1])
    return _first(_ON_THE_WAY, text) or _first(_THERE, text) or _last_line(text)


def _first(known: tuple[_Known, ...], text: str) -> str | None:
    for one in known:
        for line in text.splitlines():
            if re.search(one.pattern, line.strip()):
                return one.words.format(line.strip())
    return None


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.replace(_ANSIBLES, "").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "failed without a word"
