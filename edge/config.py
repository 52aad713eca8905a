"""What may stand in the settings file of a box. `edge/settings.py` reads it.

Seconds are in names ending `_s`, lengths in pixels in names ending `_px`.
"""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.base import Frozen

ENV_PREFIX = "MEKIKI_"
ENV_DELIMITER = "__"
# It is the topic on the bus, a label of the metrics and later a file name.
CameraName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


def _port_in_range(address: str) -> str:
    if address.startswith("tcp:") and not 1 <= int(address.rpartition(":")[2]) <= 65535:
        raise ValueError("a port of 1 to 65535 was wanted")  # ZeroMQ would wrap it around silently
    return address


BusAddress = Annotated[
    str, StringConstraints(pattern=r"^(tcp://.+:[0-9]{1,5}|ipc://.+)$"), AfterValidator(_port_in_range)
]


class FolderConfig(Frozen):
    """A folder of images, in the order of their names: a finite source, nothing is dropped."""

    kind: Literal["folder"]
    name: CameraName
    path: Path
    loop: bool = False  # begin again after the last image, for ever
    fps: float | None = Field(default=None, gt=0, le=1000)  # pace; as fast as they are judged when absent


class OpenCVConfig(Frozen):
    """What OpenCV opens: a device, a video file, or a network stream."""

    kind: Literal["opencv"]
    name: CameraName
    source: int | str  # device index or path, video file, RTSP or HTTP URL
    read_timeout_s: float = Field(default=5.0, gt=0, le=600)  # network streams; a device has OpenCV's own 10 s
    reopen_s: float = Field(default=2.0, ge=0.1, le=600)  # between two attempts to get a lost camera back
    width_px: int | None = Field(default=None, gt=0, le=16384)  # asked of a device
    height_px: int | None = Field(default=None, gt=0, le=16384)  # asked of a device
    fps: float | None = Field(default=None, gt=0, le=1000)  # asked of a device; the pace of a video file

    @property
    def origin(self) -> Literal["device", "stream", "file"]:
        """Devices and streams are live: they do not wait for us. A file does."""
        if isinstance(self.source, int) or self.source.isdigit() or self.source.startswith("/dev/"):
            return "device"
        return "stream" if "://" in self.source else "file"

    @property
    def shown(self) -> str:
        """The source for logs and errors, without the password of a stream."""
        return re.sub(r"//[^/@]*@", "//***@", str(self.source))


CameraConfig = Annotated[FolderConfig | OpenCVConfig, Field(discriminator="kind")]


class BusConfig(Frozen):
    """Where verdicts are published."""

    bind: BusAddress = "tcp://127.0.0.1:5555"
    wait_for_subscriber_s: float = Field(default=0.0, ge=0, le=3600)  # before capture starts


class MetricsConfig(Frozen):
    """Where Prometheus scrapes."""

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=9108, ge=1, le=65535)


class Settings(BaseSettings):
    """One settings file. Relative paths are relative to the file."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, env_prefix=ENV_PREFIX, env_nested_delimiter=ENV_DELIMITER
    )

    bundle: Path | None = None  # exactly one of these two
    store: Path | None = None  # its active version is used
    device: str = Field(default="CPU", min_length=1)  # OpenVINO's name
    camera: tuple[CameraConfig, ...] = Field(min_length=1)
    bus: BusConfig = BusConfig()
    metrics: MetricsConfig = MetricsConfig()

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if (self.bundle is None) == (self.store is None):
            found = "neither" if self.bundle is None else "both"
            raise ValueError(f"{found} of bundle and store set, exactly one was wanted")
        names = [camera.name for camera in self.camera]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two cameras are named {twice[0]!r}; give each its own name")
        return self
