"""Runs the IR of a bundle on a device. Trainer and edge both judge through this and nothing else.

A Runner belongs to one thread at a time: it has one inference request per frame size. `twin` makes
another one for another thread, on the same compiled model.
"""

import copy
import math
import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.cache import Cache
from models.compiled import MAX_COMPILED, Compiled
from models.decoding import Found, decode, outputs_of
from models.device import find_device, physical_cores, short
from models.errors import ModelError
from models.manifest import Arithmetic, Decoder, Precision
from models.prediction import Image, Prediction
from models.profile import Hint, profile_of
from models.upright import Upright, View, on_frame, read_upright
from models.variant import arithmetic_of

if TYPE_CHECKING:
    import openvino as ov

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
        cache: Cache | None = None,
    ) -> None:
        """Reads the IR, which sees the frame, or with `upright` the part in it.

        `arithmetic` is what the device computes with; None: `precision`, and f32 beside what is int8. `cache` keeps
        what is compiled for the next start.

        Compiling waits for the first frame of each size, or `warm_up`.

        Raises ModelError when OpenVINO cannot read the file, misses an output of ours in it or has no such device, or
        the device does not compute in that precision.
        """
        self.model_xml, self.device, self.precision = model_xml, device, precision
        self._decoder, self._outputs, self._upright = decoder, outputs_of(decoder), upright
        told = arithmetic_of(precision, arithmetic)
        profile = profile_of(find_device(device), precision, told, hint, physical_cores())
        self._compiled = Compiled(model_xml, self._outputs, profile, cache)
        self._requests: OrderedDict[tuple[int, int], ov.InferRequest] = OrderedDict()

    @classmethod
    def of(cls, bundle: Bundle, device: str = "CPU", hint: Hint = "latency", cache: Cache | None = None) -> "Runner":
        """The runner of a verified bundle, at the precision that its manifest states."""
        manifest = bundle.manifest
        upright = None if manifest.pose is None else read_upright(bundle.path / manifest.pose.file, manifest.pose)
        told = manifest.arithmetic
        return cls(bundle.model_xml, manifest.decoder, manifest.precision, device, hint, upright, told, cache)

    @property
    def settings(self) -> dict[str, str]:
        """What the plugin answers of all that it was asked for; nothing before the first frame."""
        return self._compiled.answers()

    @property
    def deviations(self) -> tuple[str, ...]:
        """In words, where that is not what it was asked for, or not what the bundle says."""
        return self._compiled.deviations

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
            raise ModelError(f"{self.device}: inference failed ({short(error)}); see the device's driver") from error
        return arrays, time.perf_counter() - started

    def _request(self, height_px: int, width_px: int) -> "ov.InferRequest":
        key, compiled = (height_px, width_px), self._compiled.get(height_px, width_px)
        if key not in self._requests:
            try:
                self._requests[key] = compiled.create_infer_request()
            except RuntimeError as error:
                raise ModelError(f"{self.device}: has no room for a request ({short(error)}); free it") from error
            if len(self._requests) > MAX_COMPILED:
                self._requests.popitem(last=False)
        self._requests.move_to_end(key)
        return self._requests[key]


def _view(upright: Upright, image: Image) -> View:
    try:
        return upright.view(image)
    except cv2.error as error:
        raise ModelError(f"frame: the part cannot be laid upright ({short(error)}); make the bundle again") from error


def _refuse_odd(image: Image) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ModelError(f"frame: {image.dtype} {image.shape}, wanted uint8 (H, W, 3) BGR; convert it first")
    if not (0 < image.shape[0] <= _MAX_SIDE_PX and 0 < image.shape[1] <= _MAX_SIDE_PX):
        raise ModelError(f"frame: {image.shape[1]}x{image.shape[0]} px, wanted sides of 1 to {_MAX_SIDE_PX} px")
