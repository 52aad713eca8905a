"""What may stand in the settings file of a box. `edge/settings.py` reads it, `edge/camera_config.py` has the cameras.

Seconds are in names ending `_s`, lengths in pixels in names ending `_px`.
"""

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from edge.camera_config import CameraConfig
from models.base import Frozen
from models.variant import Precision

ENV_PREFIX = "MEKIKI_"
ENV_DELIMITER = "__"


def _port_in_range(address: str) -> str:
    if address.startswith("tcp:") and not 1 <= int(address.rpartition(":")[2]) <= 65535:
        raise ValueError("a port of 1 to 65535 was wanted")  # ZeroMQ would wrap it around silently
    return address


Address = Annotated[str, StringConstraints(pattern=r"^(tcp://.+:[0-9]{1,5}|ipc://.+)$"), AfterValidator(_port_in_range)]
_LOOPBACK = ("tcp://127.", "tcp://localhost:", "tcp://[::1]:", "ipc://")


class InferenceConfig(Frozen):
    """How the device is used."""

    hint: Literal["latency", "throughput"] = "latency"  # OpenVINO's performance hint
    requests: int | None = Field(default=None, ge=1, le=64)  # frames in the device at a time; absent: its wish
    hang_s: float = Field(default=5.0, gt=0, le=600)  # an inference that takes longer hangs: the daemon leaves


class BusConfig(Frozen):
    """The ZeroMQ sockets."""

    bind: Address = "tcp://127.0.0.1:5555"  # verdicts and heartbeats
    replay: Address = "tcp://127.0.0.1:5556"  # snapshot and replay
    trigger: Address = "tcp://127.0.0.1:5557"  # bound only where somebody is listened to: see `Settings.listens`
    pictures: Address | None = None  # JPEG and heatmap (or boxes) of every verdict, for who subscribes
    keys: Path | None = None  # a folder that `mekiki-edge keys` made; without it sockets stay on this machine
    ipc_mode: str = Field(default="0660", pattern=r"^0?[0-7]{3}$")  # of the socket files of ipc:// addresses
    heartbeat_s: float = Field(default=1.0, ge=0.05, le=60)
    wait_for_subscriber_s: float = Field(default=0.0, ge=0, le=3600)  # before capture starts

    @property
    def addresses(self) -> dict[str, str]:
        """Setting -> address of all sockets that are set."""
        named = {"bind": self.bind, "replay": self.replay, "trigger": self.trigger, "pictures": self.pictures}
        return {name: address for name, address in named.items() if address is not None}

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if len(set(self.addresses.values())) < len(self.addresses):
            raise ValueError("bind, replay, trigger and pictures want an address each")
        open_ones = [name for name, address in self.addresses.items() if not address.startswith(_LOOPBACK)]
        if open_ones and self.keys is None:
            raise ValueError(
                f"{open_ones[0]} is reachable from other machines without a key; "
                "run `mekiki-edge keys --out DIR` and set keys, or bind to 127.0.0.1"
            )
        return self


class JournalConfig(Frozen):
    """The verdicts on disk, for replay."""

    max_verdicts: int = Field(default=1_000_000, ge=100)  # the oldest go first; about 1 kB each


class EvidenceConfig(Frozen):
    """Which frames are kept for review."""

    ok_share: float = Field(default=0.01, ge=0, le=1)  # of the `ok` frames, by chance
    borderline: float = Field(default=0.1, ge=0, le=1)  # `ok` this close below the threshold, as a share of it
    max_bytes: int = Field(default=10_000_000_000, ge=0)  # 0: nothing is kept
    max_age_days: float = Field(default=90, gt=0)


class ReviewConfig(Frozen):
    """Which parts a person is asked about, see `mekiki-edge review`. They are kept as evidence."""

    band: tuple[float, float] = (0.9, 1.1)  # scores from here up to there, as shares of the threshold; [1, 1]: none
    share: float = Field(default=0.001, ge=0, le=1)  # of all parts, by chance: what tells of missed defects too

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.band[0] <= self.band[1]:
            raise ValueError(f"band of {self.band[0]:g} to {self.band[1]:g}, the lower number is wanted first")
        return self


class ProbationConfig(Frozen):
    """What a version that `mekiki-edge model` put in force must show, against the one before it."""

    parts: int = Field(default=200, ge=0, le=100_000)  # verdicts; 0: no probation
    unknown_rise: float = Field(default=0.1, ge=0, le=1)  # by how much the share of unknown may rise
    late_rise: float = Field(default=0.05, ge=0, le=1)  # of those that missed their deadline
    ng_rise: float = Field(default=0.2, ge=0, le=1)  # and of ng
    ng_fall: float = Field(
        default=0.2, ge=0, le=1
    )  # by how much it may fall; 1 where the one before rejects good parts
    starts: int = Field(default=3, ge=1)  # of the daemon within it; one more, and it goes back


class DriftConfig(Frozen):
    """When a line counts as drifted from what its model was made from."""

    parts: int = Field(default=200, ge=20, le=100_000)  # the last of a camera, which are compared
    least: int = Field(default=50, ge=20)  # of which so many must be there


class ActivationConfig(Frozen):
    """When a version that `mekiki-edge model` brings comes into force."""

    hold: Literal["never", "running"] = "never"  # running: when the trigger socket is told that the line is stopped


class MetricsConfig(Frozen):
    """Where Prometheus scrapes."""

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=9108, ge=1, le=65535)


def state_dir() -> Path:
    """systemd names the folder that the unit's StateDirectory= made."""
    return Path(os.environ.get("STATE_DIRECTORY", "state").partition(":")[0])


class Settings(BaseSettings):
    """One settings file. Relative paths are relative to the file."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, env_prefix=ENV_PREFIX, env_nested_delimiter=ENV_DELIMITER
    )

    bundle: Path | None = None  # at most one of these two; for all cameras that name none of their own
    store: Path | None = None  # its active version is used, and followed while the daemon runs
    trust: Path | None = None  # keys, one of which must have signed every bundle; absent: signatures are not checked
    device: str = Field(default="CPU", min_length=1)  # OpenVINO's name
    precision: Literal["auto"] | Precision = "auto"  # of those that a bundle holds; auto: the fastest that is qualified
    state: Path = Field(default_factory=state_dir)  # journal, evidence, reviews, what is qualified
    camera: tuple[CameraConfig, ...] = Field(min_length=1)
    inference: InferenceConfig = InferenceConfig()
    bus: BusConfig = BusConfig()
    journal: JournalConfig = JournalConfig()
    evidence: EvidenceConfig = EvidenceConfig()
    review: ReviewConfig = ReviewConfig()
    metrics: MetricsConfig = MetricsConfig()
    probation: ProbationConfig = ProbationConfig()
    drift: DriftConfig = DriftConfig()
    activation: ActivationConfig = ActivationConfig()

    @property
    def listens(self) -> bool:
        """Whether the trigger socket is there: for parts, or for what the line does."""
        return self.activation.hold == "running" or any(camera.trigger == "external" for camera in self.camera)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.bundle is not None and self.store is not None:
            raise ValueError("both of bundle and store set, exactly one was wanted")
        without = [camera.name for camera in self.camera if camera.bundle is None and camera.store is None]
        if self.bundle is None and self.store is None and without:
            raise ValueError(f"neither of bundle and store set, and camera {without[0]!r} names no model of its own")
        names = [camera.name for camera in self.camera]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two cameras are named {twice[0]!r}; give each its own name")
        return self
