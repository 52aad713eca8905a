"""Runs graphs of ours over many images, as many at a time as the machine has cores."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.manifest import Precision
from models.prediction import Image
from models.resize import for_frames
from models.variant import arithmetic_of

if TYPE_CHECKING:
    import openvino as ov

F32 = NDArray[np.float32]


class Pipeline:
    """One graph, compiled for each frame size that comes, run asynchronously.

    `done(key, output)` is called once per image, on a thread of OpenVINO's, with its own copy of the
    output; what it raises is raised again by `run`.
    """

    def __init__(self, graph: ov.Model, done: Callable[[Any, F32], None], precision: Precision = "f32") -> None:
        import openvino as ov

        self._core, self._graph = ov.Core(), graph
        self._config = {"INFERENCE_PRECISION_HINT": arithmetic_of(precision), "PERFORMANCE_HINT": "THROUGHPUT"}
        self._queues: dict[tuple[int, int], ov.AsyncInferQueue] = {}
        # It must not know the queues: what Python cannot see through them would never be freed, nor would they.
        self._finish = _Finish(done)

    def run(self, items: Iterable[tuple[Any, Image]], others: Callable[[Any], dict[str, F32]] = lambda _: {}) -> None:
        """Sends every (key, image) through, with the other inputs of that key; returns when the last one is done."""
        for key, image in items:
            queue = self._queue(image.shape[0], image.shape[1])
            queue.start_async({"frame": image[None], **others(key)}, key)
        for queue in self._queues.values():
            queue.wait_all()
        if self._finish.failure is not None:
            raise self._finish.failure

    def _queue(self, height_px: int, width_px: int) -> ov.AsyncInferQueue:
        import openvino as ov

        size = (height_px, width_px)
        if size not in self._queues:
            for queue in self._queues.values():
                queue.wait_all()
            graph = for_frames(self._graph, height_px, width_px)
            queue = ov.AsyncInferQueue(self._core.compile_model(graph, "CPU", self._config))
            queue.set_callback(self._finish)
            self._queues = {size: queue}  # one at a time: a compiled graph is large
        return self._queues[size]


class _Finish:
    """Hands on what comes out of a queue, and keeps what went wrong with it."""

    def __init__(self, done: Callable[[Any, F32], None]) -> None:
        self._done = done
        self.failure: Exception | None = None

    def __call__(self, request: ov.InferRequest, key: Any) -> None:
        try:
            self._done(key, np.array(request.get_output_tensor(0).data[0], np.float32))
        except Exception as error:  # noqa: BLE001 - raised again in run(); a callback's exception is lost
            self.failure = error
