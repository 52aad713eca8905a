"""What may stand in one `[[camera]]` table. Seconds are in names ending `_s`, pixels in names ending `_px`."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from models.base import Frozen

# It is the topic on the bus, a label of the metrics and the start of a file name.
CameraName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Trigger = Literal[
    "free",  # every picture is a part; of a live camera the newest wins and the rest are counted
    "external",  # a message with a part id asks for the next picture
    "presence",  # the picture itself says that a part is there; one verdict per part passing
]


class _AnyCamera(Frozen):
    """What every kind of camera has."""

    name: CameraName
    trigger: Trigger = "free"
    deadline_s: float | None = Field(default=None, gt=0, le=3600)  # from capture to verdict
    read_timeout_s: float = Field(default=5.0, gt=0, le=600)  # a read that takes longer hangs: the process is replaced
    open_timeout_s: float = Field(default=20.0, gt=0, le=600)
    reopen_s: float = Field(default=2.0, ge=0.1, le=600)  # before a lost camera is opened again; doubles up to 30 s
    max_repeats: int = Field(default=3, ge=0, le=1_000_000)  # same pictures in a row of a live camera; 0: never asked
    health: bool = True  # whether a picture must look like those that the model was trained on
    queue: int = Field(default=8, ge=1, le=1024)  # parts that may wait
    bundle: Path | None = None  # a model of its own; at most one of these two
    store: Path | None = None

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        if self.bundle is not None and self.store is not None:
            raise ValueError("both bundle and store set, at most one was wanted")
        return self


class FolderConfig(_AnyCamera):
    """A folder of images, in the order of their names: a finite source, nothing is dropped."""

    kind: Literal["folder"]
    path: Path
    loop: bool = False  # begin again after the last image, for ever
    preload: bool = False  # all images into memory before the first is judged
    fps: float | None = Field(default=None, gt=0, le=1000)  # pace; as fast as they are judged when absent


class OpenCVConfig(_AnyCamera):
    """What OpenCV opens: a device, a video file, or a network stream."""

    kind: Literal["opencv"]
    source: int | str  # device index or path, video file, RTSP or HTTP URL
    login: Path | None = None  # of a stream: a file that holds `user:password`, which then stands in no setting
    # Asked of a device, read back, and refused where it did not take them.
    width_px: int | None = Field(default=None, gt=0, le=16384)
    height_px: int | None = Field(default=None, gt=0, le=16384)
    fps: float | None = Field(default=None, gt=0, le=1000)  # also the pace of a video file
    exposure: float | None = None  # in the driver's own unit; switches its automatic exposure off
    pixel_format: str | None = Field(default=None, pattern=r"^[ -~]{4}$")  # a FOURCC, e.g. "MJPG" or "YUYV"

    @property
    def origin(self) -> Literal["device", "stream", "file"]:
        """Devices and streams are live: they do not wait for us. A file does."""
        if isinstance(self.source, int) or self.source.isdigit() or self.source.startswith("/dev/"):
            return "device"
        return "stream" if "://" in self.source else "file"

    @model_validator(mode="after")
    def _login_of_a_stream(self) -> Self:
        if self.login is not None and self.origin != "stream":
            raise ValueError("login is for a network stream; remove it")
        if self.login is not None and re.search(r"//[^/@]*@", str(self.source)):
            raise ValueError("login set, and a user in source as well; keep one of them")
        return self

    @property
    def shown(self) -> str:
        """The source for logs and errors, without the password of a stream."""
        return re.sub(r"//[^/@]*@", "//***@", str(self.source))


CameraConfig = Annotated[FolderConfig | OpenCVConfig, Field(discriminator="kind")]
