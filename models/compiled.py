"""A graph compiled for the frame sizes that came last, by the profile of its device. Any thread may ask."""

import contextlib
import json
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models import __version__
from models.cache import Cache
from models.device import core, kind_of, short
from models.errors import ModelError
from models.files import sha256_of
from models.precision import cpu_flags
from models.profile import Profile, deviations, plain
from models.resize import for_frames
from models.variant import weights_of

if TYPE_CHECKING:
    import openvino as ov

MAX_COMPILED = 4  # frame sizes kept compiled; a line has one, a folder of mixed images has more


class Compiled:
    """Shared by all runners of one model."""

    def __init__(self, model_xml: Path, outputs: tuple[str, ...], profile: Profile, cache: Cache | None = None) -> None:
        """Reads the IR, but for one that a cache may hold compiled: then it is read when that turns out not to be.

        Raises ModelError when OpenVINO cannot read the file, or misses an output in it.
        """
        self.profile = profile
        self.models: OrderedDict[tuple[int, int], ov.CompiledModel] = OrderedDict()
        self.deviations: tuple[str, ...] = profile.notes  # of the last one compiled
        self._model_xml, self._outputs, self._cache = model_xml, outputs, cache
        self._lock = threading.Lock()
        self._identity = None if cache is None else _identity(model_xml, profile)
        self._read: ov.Model | None = None if cache is not None else self._model()

    def get(self, height_px: int, width_px: int) -> "ov.CompiledModel":
        """Compiles where needed. Raises ModelError."""
        key = (height_px, width_px)
        with self._lock:
            if key not in self.models:
                self.models[key] = self._checked(self._from_cache(*key) or self._compile(*key))
                if len(self.models) > MAX_COMPILED:
                    self.models.popitem(last=False)
            self.models.move_to_end(key)
            return self.models[key]

    def answers(self) -> dict[str, str]:
        """What the plugin says of the last one compiled, of all that it was asked for."""
        if not self.models:
            return {}
        found = _answers(next(reversed(self.models.values())), self.profile)
        return {name: plain(value) for name, value in found.items()}

    def _model(self) -> "ov.Model":
        try:
            model = core().read_model(self._model_xml)
            for name in self._outputs:
                model.output(name)
        except RuntimeError as error:
            raise ModelError(
                f"{self._model_xml}: OpenVINO cannot read it ({short(error)}); make the bundle again"
            ) from error
        return model

    def _compile(self, height_px: int, width_px: int) -> "ov.CompiledModel":
        self._read = self._read or self._model()
        device = self.profile.device.name
        graph = for_frames(self._read, height_px, width_px)
        _refuse_dynamic(graph, self._model_xml, device)
        try:
            compiled = core().compile_model(graph, device, self._config())
        except RuntimeError as error:
            raise ModelError(
                f"{device}: cannot compile for {width_px}x{height_px} px at "
                f"{self.profile.asked['INFERENCE_PRECISION_HINT']} ({short(error)}); "
                "try device CPU or make the bundle again"
            ) from error
        self._keep(compiled, height_px, width_px)
        return compiled

    def _config(self) -> dict[str, Any]:
        """What the plugin knows of the profile; what it does not is found by `deviations`."""
        supported = set(core().get_property(self.profile.device.name, "SUPPORTED_PROPERTIES"))
        return {name: value for name, value in self.profile.asked.items() if name in supported}

    def _from_cache(self, height_px: int, width_px: int) -> "ov.CompiledModel | None":
        if self._cache is None or (blob := self._cache.load(self._key(height_px, width_px))) is None:
            return None
        try:
            return core().import_model(blob, self.profile.device.name, self._config())
        except RuntimeError:  # of another OpenVINO or processor, though its key says not: compile it anew
            return None

    def _keep(self, compiled: "ov.CompiledModel", height_px: int, width_px: int) -> None:
        """Only a start's speed depends on it: a full disk, or a device that exports nothing, fails nothing."""
        if self._cache is None or "EXPORT_IMPORT" not in self.profile.device.capabilities:
            return
        with contextlib.suppress(OSError, RuntimeError):
            self._cache.store(self._key(height_px, width_px), compiled.export_model().getvalue())

    def _key(self, height_px: int, width_px: int) -> str:
        return json.dumps([self._identity, height_px, width_px])

    def _checked(self, compiled: "ov.CompiledModel") -> "ov.CompiledModel":
        self.deviations = self.profile.notes + deviations(self.profile, _answers(compiled, self.profile))
        return compiled


def _answers(compiled: "ov.CompiledModel", profile: Profile) -> dict[str, Any]:
    known = set(compiled.get_property("SUPPORTED_PROPERTIES"))
    return {name: compiled.get_property(name) for name in profile.asked if name in known}


def _identity(model_xml: Path, profile: Profile) -> list[Any]:
    """All that what is compiled depends on, but for the frame."""
    device = profile.device
    graph = [sha256_of(path) if path.is_file() else None for path in (model_xml, _weights(model_xml))]
    flags = cpu_flags() if kind_of(device.name) == "CPU" else ""
    return [__version__, graph, device.full_name, device.plugin, device.driver, flags, dict(profile.asked)]


def _weights(model_xml: Path) -> Path:
    return model_xml.with_name(weights_of(model_xml.name))


def _refuse_dynamic(graph: "ov.Model", model_xml: Path, device: str) -> None:
    """A frame is static and alone; an NPU wants that of what comes out too, as many boxes as there are is none."""
    for port in graph.inputs if kind_of(device) != "NPU" else (*graph.inputs, *graph.outputs):
        shape = port.get_partial_shape()
        if shape.is_dynamic or (port in graph.inputs and shape[0].get_length() != 1):
            raise ModelError(
                f"{model_xml}: {port.get_any_name()} has the shape {shape}, a static one of batch 1 was wanted on "
                f"{device}; choose another device or make the bundle again"
            )
