"""Reads the settings file and the MEKIKI_* variables, and says clearly what is wrong with them."""

import difflib
import os
import tomllib
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, TomlConfigSettingsSource
from pydantic_settings.exceptions import SettingsError

from edge.camera_config import FolderConfig, OpenCVConfig
from edge.config import (
    ENV_DELIMITER,
    ENV_PREFIX,
    ActivationConfig,
    BusConfig,
    EvidenceConfig,
    InferenceConfig,
    JournalConfig,
    MetricsConfig,
    ProbationConfig,
    ReviewConfig,
    Settings,
)
from models.errors import ConfigError

# The table that a key stands in, by the last name before the key in pydantic's location.
_TABLES: dict[str, type[BaseModel]] = {
    "": Settings,
    "inference": InferenceConfig,
    "bus": BusConfig,
    "journal": JournalConfig,
    "evidence": EvidenceConfig,
    "review": ReviewConfig,
    "metrics": MetricsConfig,
    "probation": ProbationConfig,
    "activation": ActivationConfig,
    "folder": FolderConfig,
    "opencv": OpenCVConfig,
}
_OVERRIDABLE = ["", "inference", "bus", "journal", "evidence", "review", "metrics", "probation", "activation"]
_NOT_SETTINGS = {"MEKIKI_SHARED"}  # where tests and benchmarks find their data
_UNITS = {"_s": "a number of seconds", "_px": "a whole number of pixels", "fps": "a number of frames per second"}


def load_settings(file: Path) -> Settings:
    """The settings in `file`, overridden by MEKIKI_* variables, with every path made absolute.

    Raises ConfigError when the file is missing or not TOML, or a setting is unknown or wrong.
    """
    _refuse_unknown_variables(os.environ)
    try:
        return _anchored(_read(file), file.resolve().parent)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
        # A misspelt name is also a missing one; only the first of the two says what to change.
        details.sort(key=lambda detail: detail["type"] != "extra_forbidden")
        raise ConfigError(_line(file, details[0])) from error
    except SettingsError as error:
        raise ConfigError(f"environment: {error}; a table or a list is given as JSON") from error


def _read(file: Path) -> Settings:
    class FromFile(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return env_settings, TomlConfigSettingsSource(settings_cls, file)

    if not file.is_file():
        raise ConfigError(f"{file}: no such file; give the settings file of this box with --config")
    try:
        return FromFile()  # type: ignore[call-arg]  # the sources give the fields
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: not TOML: {error}; correct that line") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); check its owner and mode") from error


def _anchored(settings: Settings, folder: Path) -> Settings:
    cameras = tuple(_anchored_camera(camera, folder) for camera in settings.camera)
    paths = _joined(settings, folder, "bundle", "store", "trust")
    update = {"camera": cameras, "state": folder / settings.state} | paths
    bus = settings.bus.model_copy(update=_joined(settings.bus, folder, "keys"))
    return settings.model_copy(update=update | {"bus": bus})


def _anchored_camera(camera: FolderConfig | OpenCVConfig, folder: Path) -> FolderConfig | OpenCVConfig:
    update: dict[str, object] = dict(_joined(camera, folder, "bundle", "store", "path", "login"))
    if isinstance(camera, OpenCVConfig) and camera.origin == "file":
        update["source"] = str(folder / str(camera.source))
    return camera.model_copy(update=update)


def _joined(table: BaseModel, folder: Path, *names: str) -> dict[str, Path]:
    """The paths that are set, as absolute ones."""
    paths = {name: getattr(table, name, None) for name in names}
    return {name: folder / path for name, path in paths.items() if path is not None}


def _refuse_unknown_variables(environment: Iterable[str]) -> None:
    """pydantic-settings ignores variables that match nothing; a misspelt override must not be silent."""
    for variable in environment:
        if not variable.upper().startswith(ENV_PREFIX) or variable in _NOT_SETTINGS:
            continue
        *parents, key = variable[len(ENV_PREFIX) :].lower().split(ENV_DELIMITER)
        if parents and parents[0] == "camera":
            raise ConfigError(f"{variable}: one camera's settings stand in the file only; or give all in MEKIKI_CAMERA")
        table = _TABLES[".".join(parents)] if ".".join(parents) in _OVERRIDABLE else None
        if table is None:
            raise ConfigError(f"{variable}: unknown table {'.'.join(parents)!r}{_nearest(parents[0], _OVERRIDABLE)}")
        if key not in table.model_fields:
            raise ConfigError(f"{variable}: unknown setting{_nearest(key, list(table.model_fields))}")


def _line(file: Path, detail: ErrorDetails) -> str:
    """One complaint of pydantic in our words: where, what, what to do."""
    loc = [str(part) for part in detail["loc"]]
    key = loc[-1] if loc else ""
    where = f"{_source(file, loc)}: {_key_path(detail['loc'])}"
    if detail["type"] == "extra_forbidden":
        table = _TABLES.get("".join(loc[-2:-1]), Settings)
        return f"{where}: unknown setting{_nearest(key, list(table.model_fields))}"
    if detail["type"] == "missing":
        return f"{where}: missing; add it"
    what = detail["msg"].removeprefix("Value error, ").removesuffix(".")
    if not loc:
        return f"{where}{what}"
    unit = next((f"; give {words}" for ending, words in _UNITS.items() if key.endswith(ending)), "")
    got = "" if isinstance(detail["input"], dict) else f" (got {detail['input']!r:.60})"  # a whole table says nothing
    return f"{where}: {what}{got}{unit}"


def _source(file: Path, loc: list[str]) -> str:
    variables = {name.upper(): name for name in os.environ}
    for length in range(len(loc), 0, -1):
        if found := variables.get(ENV_PREFIX + ENV_DELIMITER.join(loc[:length]).upper()):
            return found
    return str(file)


def _key_path(loc: tuple[int | str, ...]) -> str:
    """`camera[0].read_timeout_s` from ("camera", 0, "opencv", "read_timeout_s")."""
    path = ""
    for before, part in zip(("", *loc), loc, strict=False):
        if isinstance(part, int):
            path += f"[{part}]"
        elif not isinstance(before, int):  # after an index pydantic names the kind, which nobody typed
            path += f".{part}" if path else part
    return path


def _nearest(key: str, known: list[str]) -> str:
    names = [name for name in known if name]
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; known here: {', '.join(names)}"
