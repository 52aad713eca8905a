"""What each signal asks for, noted by the handler and nothing more."""

import os
import pty
import signal
import sys
from pathlib import Path

import pytest

from edge.signals import Signals


def noted(number: signal.Signals) -> tuple[str | None, bool]:
    with Signals().caught() as signals:
        os.kill(os.getpid(), number)
        return signals.came, signals.wants_reload


@pytest.fixture
def terminal(monkeypatch):
    """This process's stdin is a terminal."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield
    os.close(ours)


@pytest.fixture
def service(monkeypatch):
    """As a service manager starts it."""
    with Path("/dev/null").open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_noted_by_its_name(service, number):
    assert noted(number) == (number.name, False)


def test_a_service_reloads_at_sighup(service):
    assert noted(signal.SIGHUP) == (None, True)


def test_when_its_terminal_is_closed_it_stops(terminal):
    assert noted(signal.SIGHUP) == ("SIGHUP", False)


def test_outside_the_block_the_handlers_are_those_of_before(service):
    before = signal.getsignal(signal.SIGHUP)
    with Signals().caught():
        assert signal.getsignal(signal.SIGHUP) != before
    assert signal.getsignal(signal.SIGHUP) == before
