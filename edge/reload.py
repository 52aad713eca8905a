"""SIGHUP: the settings again, and another look at the stores. On the main thread, while parts pass.

What can change between two parts does. What cannot is named, and changes with the next start.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from pydantic import BaseModel

from edge.config import Settings
from edge.notify import Notifier
from edge.signals import Signals
from models.errors import MekikiError

_log = logging.getLogger(__name__)


class Configurable(Protocol):
    """Whoever takes a new table of settings while it works."""

    def configure(self, config: Any) -> None:
        """From now on. Any thread."""


class Reload:
    """Takes the settings file's new contents, as far as a running daemon can."""

    def __init__(
        self, settings: Settings, read: Callable[[], Settings], live: Mapping[str, list[Configurable]]
    ) -> None:
        """`live` has, by the name of its table, who takes one."""
        self._settings, self._read, self._live = settings, read, live

    def run(self) -> str:
        """Reads, applies, logs; says in one line how it came out. Wrong settings change nothing."""
        try:
            wanted = self._read()
        except MekikiError as error:
            _log.error("reload: the settings stay as they are: %s", error)
            return f"reload refused: {error}"
        changed = differences(self._settings, wanted)
        taken = sorted({name for name in changed if name.partition(".")[0] in self._live})
        waiting = sorted(set(changed) - set(taken))
        self._apply(wanted)
        if waiting:
            _log.warning("reload: %s: changes with the next start (systemctl restart)", ", ".join(waiting))
        _log.info("reload: %s", f"changed {', '.join(taken)}" if taken else "no setting changed that can")
        restart = f"; restart for {', '.join(waiting)}" if waiting else ""
        return f"reloaded: {', '.join(taken) or 'nothing new'}{restart}"

    def _apply(self, wanted: Settings) -> None:
        tables = {name: getattr(wanted, name) for name in self._live}
        for name, table in tables.items():
            for one in self._live[name]:
                one.configure(table)
        self._settings = self._settings.model_copy(update=tables)


class Looks(Protocol):
    """The swap thread, as a reload needs it."""

    @property
    def has_looked(self) -> bool:
        """Whether every look that was asked for is done."""

    def look_again(self) -> None:
        """At every store, changed or not."""


class Reloads:
    """Answers SIGHUP on the main thread. `ready` follows when the swap thread has looked at the stores too, so that
    `systemctl reload` waits for a new model."""

    def __init__(self, signals: Signals, notifier: Notifier, reload: Reload, swap: Looks | None) -> None:
        self._signals, self._notifier, self._reload, self._swap = signals, notifier, reload, swap
        self._said: str | None = None  # what the last one came to, until it is told

    def look(self) -> None:
        """Whenever the main thread comes round."""
        if self._signals.wants_reload:
            self._signals.wants_reload = False
            self._notifier.reloading()
            self._said = self._reload.run()
            if self._swap is not None:
                self._swap.look_again()
        if self._said is not None and (self._swap is None or self._swap.has_looked):
            self._notifier.ready(self._said)
            self._said = None


def differences(old: Settings, new: Settings) -> list[str]:
    """The settings that differ, as they are written: `evidence.ok_share`, `camera.top.fps`."""
    return list(_differences(_named(old), _named(new), ""))


def _named(settings: Settings) -> dict[str, Any]:
    """Cameras by their names: that one moved up in the file is no difference."""
    tables: dict[str, Any] = {name: getattr(settings, name) for name in Settings.model_fields}
    return tables | {"camera": {camera.name: camera for camera in settings.camera}}


def _differences(old: Any, new: Any, path: str) -> list[str]:
    if old == new:
        return []
    tables = _table(old), _table(new)
    if tables[0] is None or tables[1] is None or type(old) is not type(new):
        return [path]
    keys = dict.fromkeys([*tables[0], *tables[1]])
    return [
        found
        for key in keys
        for found in _differences(tables[0].get(key), tables[1].get(key), f"{path}.{key}".removeprefix("."))
    ]


def _table(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, BaseModel):
        return {name: getattr(value, name) for name in type(value).model_fields}
    return value if isinstance(value, dict) else None
