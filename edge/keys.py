"""Keys of the ZeroMQ sockets (CURVE): made once by a person, read at the start of a daemon or a subscriber.

DIR/server.key_secret    the box's own secret; never leaves it
DIR/server.key           its public half, which every client needs
DIR/clients/NAME.key     who may connect; delete one and NAME is refused from its next connection on
DIR/handover/NAME/       what NAME gets, whole: its secret and `server.key`; move it there and delete it here
"""

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.credentials import handed_over
from models.errors import ConfigError, MekikiError

_SERVER, _CLIENTS, _HANDOVER = "server", "clients", "handover"
_PUBLIC, _SECRET = ".key", ".key_secret"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Pair:
    """A public key and its secret, Z85 text of 40 characters each."""

    public: bytes
    secret: bytes


@dataclass(frozen=True, slots=True)
class ClientKeys:
    """What a client proves itself with, and whom it believes."""

    own: Pair
    server: bytes  # public, Z85


def make_keys(folder: Path, clients: Sequence[str]) -> list[Path]:
    """Makes the box's keys where there are none, and those of each client. Returns the folders to hand over.

    Raises MekikiError before anything is written when a client has keys already: nothing is ever overwritten.
    """
    for name in clients:
        if not _NAME.fullmatch(name) or name == _SERVER:
            raise ConfigError(f"--client {name!r}: letters, digits, '_', '.' and '-' were wanted, and not 'server'")
        for there in (folder / _CLIENTS / f"{name}{_PUBLIC}", folder / _HANDOVER / name):
            if there.exists():
                raise MekikiError(f"{there}: is there already; choose another name, or delete it to revoke its key")
    _make_box_keys(folder)
    return [_make_client(folder, name) for name in dict.fromkeys(clients)]


def server_pair(folder: Path) -> Pair:
    """The box's keys. Raises ConfigError when they are missing, damaged, or readable for others.

    The secret may be one that systemd hands over; the folder then needs no more than `clients`.
    """
    if (handed := handed_over(f"{_SERVER}{_SECRET}")) is not None:
        return _whole(handed)
    return _pair(folder / f"{_SERVER}{_SECRET}")


def allowed_clients(folder: Path) -> set[bytes]:
    """The public keys (Z85) of who may connect; a file that is no key admits nobody."""
    return {key for path in (folder / _CLIENTS).glob(f"*{_PUBLIC}") if (key := _public(path)) is not None}


def client_keys(folder: Path) -> ClientKeys:
    """The folder that was handed over. Raises ConfigError when it is not one, or others can read its secret."""
    secrets = [path for path in sorted(folder.glob(f"*{_SECRET}")) if path.stem != _SERVER]
    if len(secrets) != 1:
        raise ConfigError(
            f"{folder}: {len(secrets)} client secrets, one was wanted; "
            f"give a folder {_HANDOVER}/NAME that `mekiki-edge keys` made on the box"
        )
    server = _public(folder / f"{_SERVER}{_PUBLIC}")
    if server is None:
        raise ConfigError(f"{folder / _SERVER}{_PUBLIC}: no public key of the box; copy it from there")
    return ClientKeys(_pair(secrets[0]), server)


def _make_box_keys(folder: Path) -> None:
    if (folder / f"{_SERVER}{_SECRET}").exists():
        return
    if folder.exists() and any(folder.iterdir()):
        raise MekikiError(f"{folder}: holds other things; give --out a new folder, or one that this command made")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name in (_CLIENTS, _HANDOVER):
        (folder / name).mkdir(mode=0o700)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        _create(Path(temporary), _SERVER)
        for name in (f"{_SERVER}{_PUBLIC}", f"{_SERVER}{_SECRET}"):  # the secret last: with it the folder is whole
            (Path(temporary) / name).rename(folder / name)


def _make_client(folder: Path, name: str) -> Path:
    target = folder / _HANDOVER / name
    target.parent.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        package = Path(temporary) / name
        package.mkdir(mode=0o700)
        _create(package, name)
        (package / f"{_SERVER}{_PUBLIC}").write_bytes((folder / f"{_SERVER}{_PUBLIC}").read_bytes())
        public = (package / f"{name}{_PUBLIC}").rename(Path(temporary) / f"{name}{_PUBLIC}")
        package.rename(target)
        public.rename(folder / _CLIENTS / public.name)  # last: who is admitted has its secret
    return target


def _create(folder: Path, name: str) -> None:
    """Both halves. The folder is closed to others, so that the secret is never open, not for a moment."""
    import zmq.auth

    _, secret = zmq.auth.create_certificates(folder, name)
    Path(secret).chmod(0o600)


def _pair(path: Path) -> Pair:
    try:
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            raise ConfigError(f"{path}: mode {mode:04o}, others can read this secret; chmod 600 {path}")
        return _whole(path)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); run `mekiki-edge keys --out {path.parent}` or fix its owner"
        ) from error


def _whole(path: Path) -> Pair:
    public, secret = _load(path)
    if public is None or secret is None:
        raise ConfigError(f"{path}: no key pair in it; delete it and make new keys with `mekiki-edge keys`")
    return Pair(public, secret)


def _public(path: Path) -> bytes | None:
    try:
        return _load(path)[0]
    except OSError:
        return None


def _load(path: Path) -> tuple[bytes | None, bytes | None]:
    import zmq.auth

    try:
        halves = zmq.auth.load_certificate(path)
    except (ValueError, UnicodeDecodeError):  # pyzmq's word for "no key in it"
        return None, None
    public, secret = (key if key is not None and len(key) == 40 else None for key in halves)
    return public, secret
