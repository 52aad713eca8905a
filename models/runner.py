"""Runs the IR of a bundle on a device. Trainer and edge both judge through this and nothing else.

A Runner belongs to one thread at a time: it has one inference request per frame size. `twin` makes
another one for another thread, on the same compiled model.
"""

import copy
import functools
import math
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.decoding import Found, decode, outputs_of
from models.errors import ModelError
from models.manifest import Arithmetic, Decoder, Precision
from models.precision import refuse_unable
from models.prediction import Image, Prediction
from models.resize import for_frames
from models.upright import Upright, View, on_frame, read_upright
from models.variant import arithmetic_of

if TYPE_CHECKING:
    import openvino as ov

Hint = Literal["latency", "throughput"]  # OpenVINO's performance hint
_MAX_COMPILED = 4  # frame sizes kept compiled; a line has one, a folder of mixed images has more
_MAX_SIDE_PX = 16384


class Runner:
    """Frames in, Predictions out."""

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        model_xml: Path,
        decoder: Decoder,
        precision: Precision,
        device: str = "CPU",
        hint: Hint = "latency",
        upright: Upright | None = None,
        arithmetic: Arithmetic | None = None,
    ) -> None:
        """Reads the IR, which sees the frame, or with `upright` the part in it.

        `arithmetic` is what the device computes with; None: `precision`, and f32 beside what is int8.

        Compiling waits for the first frame of each size, or `warm_up`.

        Raises ModelError when OpenVINO cannot read the file, misses an output of ours in it or has no such device, or
        the device does not compute in that precision.
        """
        self.model_xml, self.device, self.precision = model_xml, device, precision
        self._decoder, self._outputs, self._upright = decoder, outputs_of(decoder), upright
        told = arithmetic_of(precision, arithmetic)
        self._compiled = _Compiled(model_xml, self._outputs, told, device, hint)
        self._requests: OrderedDict[tuple[int, int], ov.InferRequest] = OrderedDict()

    @classmethod
    def of(cls, bundle: Bundle, device: str = "CPU", hint: Hint = "latency") -> "Runner":
        """The runner of a verified bundle, at the precision that its manifest states."""
        manifest = bundle.manifest
        upright = None if manifest.pose is None else read_upright(bundle.path / manifest.pose.file, manifest.pose)
        told = manifest.arithmetic
        return cls(bundle.model_xml, manifest.decoder, manifest.precision, device, hint, upright, told)

    def twin(self) -> "Runner":
        """A runner for another thread. It shares the compiled models, and has its own requests."""
        twin = copy.copy(self)
        twin._requests = OrderedDict()
        return twin

    def for_views(self) -> "Runner":
        """A runner of the same compiled models for parts that are upright already."""
        views = self.twin()
        views._upright = None
        return views

    def warm_up(self, height_px: int, width_px: int) -> None:
        """Compiles for a frame size and runs it once, so that the first part is not the slow one."""
        self.predict(np.zeros((height_px, width_px, 3), np.uint8))

    def wanted_requests(self, height_px: int, width_px: int) -> int:
        """How many frames of this size the device wants to work on at a time."""
        size = (height_px, width_px) if self._upright is None else self._upright.mask.shape
        return int(self._compiled.get(*size).get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))

    def predict(self, image: Image) -> Prediction:
        """Scores one frame, uint8 (H, W, 3) BGR of any size. The frame is read, never written.

        Raises ModelError when it is not such an array or the device fails.
        """
        _refuse_odd(image)
        started = time.perf_counter()
        view = None if self._upright is None else _view(self._upright, image)
        find_s = time.perf_counter() - started
        seen = image if view is None else view.image
        arrays, infer_s = self._infer(self._request(seen.shape[0], seen.shape[1]), seen)
        started = time.perf_counter()
        found = (
            decode(self._decoder, arrays, image.shape[0], image.shape[1])
            if view is None
            else self._laid(view, arrays, image)
        )
        decode_s = time.perf_counter() - started
        return Prediction(
            score=found.score if view is None or view.lost is None else math.nan,
            heatmap=found.heatmap,
            frame_height_px=image.shape[0],
            frame_width_px=image.shape[1],
            infer_s=infer_s,
            decode_s=decode_s,
            boxes=found.boxes,
            label=found.label,
            find_s=find_s if view else 0.0,
            lost=view.lost if view else None,
        )

    def _laid(self, view: View, arrays: list[NDArray[Any]], frame: Image) -> Found:
        """What a view shows, but for what of it lies beyond the frame; its heatmap back in the frame."""
        if arrays[0].ndim == 4:  # what is no map, `decode` refuses
            rows, columns = arrays[0].shape[2:]
            arrays[0] = arrays[0] * view.in_frame(rows, columns, frame)  # NaN stays NaN
        found = decode(self._decoder, arrays, frame.shape[0], frame.shape[1])
        return found if found.heatmap is None else found._replace(heatmap=on_frame(found.heatmap, view, frame.shape))

    def _infer(self, request: "ov.InferRequest", image: Image) -> tuple[list[NDArray[Any]], float]:
        import openvino as ov

        started = time.perf_counter()
        # OpenVINO reads this memory while it infers and keeps no hold on it: `frame` must outlive the call.
        frame = np.require(image, requirements=["C", "W"])[None]
        try:
            request.set_input_tensor(ov.Tensor(frame, shared_memory=True))
            request.start_async()
            request.wait()
            # The request owns its outputs and overwrites them with the next frame: copy.
            arrays = [np.array(request.get_tensor(name).data) for name in self._outputs]
        except RuntimeError as error:
            raise ModelError(f"{self.device}: inference failed ({_short(error)}); see the device's driver") from error
        return arrays, time.perf_counter() - started

    def _request(self, height_px: int, width_px: int) -> "ov.InferRequest":
        key, compiled = (height_px, width_px), self._compiled.get(height_px, width_px)
        if key not in self._requests:
            try:
                self._requests[key] = compiled.create_infer_request()
            except RuntimeError as error:
                raise ModelError(f"{self.device}: has no room for a request ({_short(error)}); free it") from error
            if len(self._requests) > _MAX_COMPILED:
                self._requests.popitem(last=False)
        self._requests.move_to_end(key)
        return self._requests[key]


@functools.cache
def _core() -> "ov.Core":
    """One for the process and for ever.

    With its last core OpenVINO's CPU plugin goes, and on some processors it then frees the stack for signals that
    it gave to the thread which loaded it: the next signal to that thread, as a SIGTERM, would end in a SIGSEGV.
    """
    import openvino as ov

    return ov.Core()


class _Compiled:
    """The model compiled for the frame sizes that came last, shared by twins. Any thread may ask."""

    def __init__(
        self, model_xml: Path, outputs: tuple[str, ...], precision: Arithmetic, device: str, hint: Hint
    ) -> None:
        self.device, self.precision = device, precision
        self._config = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": hint.upper()}
        self._core = _core()
        self.models: OrderedDict[tuple[int, int], ov.CompiledModel] = OrderedDict()
        self._lock = threading.Lock()
        _refuse_absent(device, self._core.available_devices)
        refuse_unable(device, precision)
        try:
            self._model = self._core.read_model(model_xml)
            for name in outputs:
                self._model.output(name)
        except RuntimeError as error:
            raise ModelError(
                f"{model_xml}: OpenVINO cannot read it ({_short(error)}); make the bundle again"
            ) from error

    def get(self, height_px: int, width_px: int) -> "ov.CompiledModel":
        """Compiles where needed. Raises ModelError."""
        key = (height_px, width_px)
        with self._lock:
            if key not in self.models:
                self.models[key] = self._compile(height_px, width_px)
                if len(self.models) > _MAX_COMPILED:
                    self.models.popitem(last=False)
            self.models.move_to_end(key)
            return self.models[key]

    def _compile(self, height_px: int, width_px: int) -> "ov.CompiledModel":
        """A static shape and a stated precision: neither is left to a device's silent default."""
        try:
            return self._core.compile_model(for_frames(self._model, height_px, width_px), self.device, self._config)
        except RuntimeError as error:
            raise ModelError(
                f"{self.device}: cannot compile for {width_px}x{height_px} px at {self.precision} ({_short(error)}); "
                "try device CPU or make the bundle again"
            ) from error


def _view(upright: Upright, image: Image) -> View:
    try:
        return upright.view(image)
    except cv2.error as error:
        raise ModelError(f"frame: the part cannot be laid upright ({_short(error)}); make the bundle again") from error


def _refuse_absent(device: str, available: list[str]) -> None:
    if not any(device == name or device == name.split(".")[0] for name in available):
        raise ModelError(f"device {device}: not on this machine, which has {', '.join(available)}; set one of these")


def _refuse_odd(image: Image) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ModelError(f"frame: {image.dtype} {image.shape}, wanted uint8 (H, W, 3) BGR; convert it first")
    if not (0 < image.shape[0] <= _MAX_SIDE_PX and 0 < image.shape[1] <= _MAX_SIDE_PX):
        raise ModelError(f"frame: {image.shape[1]}x{image.shape[0]} px, wanted sides of 1 to {_MAX_SIDE_PX} px")


def _short(error: Exception) -> str:
    """The last line that says something: OpenVINO's messages start with source positions."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__
