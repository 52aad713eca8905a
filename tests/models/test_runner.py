import threading
import tracemalloc

import numpy as np
import pytest

from models.bundle import MODEL_BIN, MODEL_XML, open_bundle
from models.compiled import MAX_COMPILED
from models.errors import ModelError
from models.runner import Runner
from tests import tiny


@pytest.fixture(scope="module")
def runner(bundle) -> Runner:
    return Runner.of(open_bundle(bundle))


def coloured(height_px: int = 60, width_px: int = 80, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3), np.uint8)


@pytest.mark.parametrize("size", [(64, 64), (1, 1), (1, 500), (500, 1), (7, 13), (480, 640), (63, 65)])
def test_a_frame_of_any_size_is_scored_and_its_size_goes_with_the_prediction(runner, size):
    found = runner.predict(tiny.frame(tiny.OK, *size))
    assert found.score == pytest.approx(25 / 255, rel=1e-4)
    assert (found.frame_height_px, found.frame_width_px) == size
    assert (found.heatmap.shape, found.heatmap.dtype) == ((8, 8), np.float32)
    assert found.infer_s > 0
    assert found.decode_s > 0


def test_more_sizes_than_are_kept_compiled_give_the_same_scores_again(bundle):
    runner = Runner.of(open_bundle(bundle))
    frames = [coloured(40 + 9 * i, 50 + 7 * i, seed=i) for i in range(MAX_COMPILED + 3)]
    first = [runner.predict(frame).score for frame in frames]
    assert len(set(first)) == len(first)
    assert [runner.predict(frame).score for frame in reversed(frames)] == first[::-1]
    assert len(runner._compiled.models) == MAX_COMPILED


def test_the_size_that_is_in_use_stays_compiled(bundle):
    runner = Runner.of(open_bundle(bundle))
    line = coloured()
    runner.predict(line)
    kept = runner._compiled.models[60, 80]
    for i in range(MAX_COMPILED + 2):
        runner.predict(coloured(10 + i, 10))
        runner.predict(line)
    assert runner._compiled.models[60, 80] is kept


def test_warm_up_compiles_for_the_size_of_the_camera(bundle):
    runner = Runner.of(open_bundle(bundle))
    runner.warm_up(60, 80)
    assert list(runner._compiled.models) == [(60, 80)]


ODD_MEMORY = {
    "mirrored": lambda image: image[:, ::-1],
    "upside down": lambda image: image[::-1],
    "channels reversed": lambda image: image[:, :, ::-1],
    "every second pixel": lambda image: image[::2, ::2],
    "a window": lambda image: image[10:400, 20:601],
    "turned": lambda image: image.transpose(1, 0, 2),
    "Fortran order": np.asfortranarray,
    "of BGRA": lambda image: np.dstack([image, image[:, :, :1]])[:, :, :3],
}


@pytest.mark.parametrize("view", ODD_MEMORY.values(), ids=ODD_MEMORY)
def test_a_frame_in_any_memory_layout_scores_as_its_plain_copy(runner, view):
    """OpenVINO reads the frame's memory while it infers; a copy that nobody holds is gone before that."""
    for seed in range(2):
        frame = view(coloured(500, 700, seed))
        assert not frame.flags["C_CONTIGUOUS"]
        other = view(coloured(500, 700, seed + 100))
        expected = runner.predict(np.ascontiguousarray(frame)).heatmap
        runner.predict(np.ascontiguousarray(other))
        np.testing.assert_array_equal(runner.predict(frame).heatmap, expected)


def test_the_copy_of_such_a_frame_is_held_while_the_device_reads_it(bundle):
    """What the test above sees by chance only, seen for sure: numpy reports its memory to tracemalloc."""
    runner, frame, held = Runner.of(open_bundle(bundle)), coloured(500, 700)[:, ::-1], []
    runner.predict(frame)
    request = runner._requests[500, 700]

    class Watched:
        def __getattr__(self, name):
            return getattr(request, name)

        def start_async(self):
            ours = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
            held.extend(trace.size for trace in tracemalloc.take_snapshot().filter_traces([ours]).traces)
            request.start_async()

    runner._requests[500, 700] = Watched()
    tracemalloc.start()
    try:
        runner.predict(frame)
    finally:
        tracemalloc.stop()
    assert frame.nbytes in held


def test_a_frame_that_may_not_be_written_is_scored(runner):
    frame = coloured()
    expected = runner.predict(frame).score
    frame.flags.writeable = False
    assert runner.predict(frame).score == expected


def test_the_frame_is_not_written_to(runner):
    frame = coloured(200, 300)
    before = frame.copy()
    runner.predict(frame)
    np.testing.assert_array_equal(frame, before)


def test_a_prediction_is_not_overwritten_by_the_next_frame(runner):
    dark = runner.predict(tiny.frame(tiny.OK))
    heat = dark.heatmap.copy()
    runner.predict(tiny.frame(tiny.NG))
    np.testing.assert_array_equal(dark.heatmap, heat)
    dark.heatmap[:] = 9
    assert runner.predict(tiny.frame(tiny.OK)).score == dark.score


def test_the_same_frame_scores_the_same_in_every_run_and_runner(runner, bundle):
    frame = coloured(333, 444)
    scores = {runner.predict(frame).score for _ in range(5)} | {Runner.of(open_bundle(bundle)).predict(frame).score}
    assert len(scores) == 1


def test_two_runners_in_two_threads_do_not_disturb_each_other(bundle):
    frames = {patch: tiny.frame(patch, 200, 300) for patch in (tiny.OK, tiny.NG)}
    found: dict[int, set[float]] = {patch: set() for patch in frames}

    def work(patch: int) -> None:
        runner = Runner.of(open_bundle(bundle))
        found[patch] |= {round(runner.predict(frames[patch]).score, 5) for _ in range(30)}

    threads = [threading.Thread(target=work, args=(patch,)) for patch in frames]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == {tiny.OK: {round(25 / 255, 5)}, tiny.NG: {round(200 / 255, 5)}}


ODD_FRAMES = {
    "float32": np.zeros((9, 9, 3), np.float32),
    "16 bit": np.zeros((9, 9, 3), np.uint16),
    "signed": np.zeros((9, 9, 3), np.int8),
    "boolean": np.zeros((9, 9, 3), bool),
    "grey": np.zeros((9, 9), np.uint8),
    "one channel": np.zeros((9, 9, 1), np.uint8),
    "alpha": np.zeros((9, 9, 4), np.uint8),
    "channels first": np.zeros((3, 9, 9), np.uint8),
    "a batch": np.zeros((1, 9, 9, 3), np.uint8),
    "no rows": np.zeros((0, 9, 3), np.uint8),
    "no columns": np.zeros((9, 0, 3), np.uint8),
    "nothing": np.zeros((0,), np.uint8),
    "a number": np.array(7, np.uint8),
    "too wide": np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (1, 16385, 3)),
    "too high": np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (16385, 1, 3)),
}


@pytest.mark.parametrize("image", ODD_FRAMES.values(), ids=ODD_FRAMES)
def test_what_is_no_frame_is_refused_with_what_was_wanted(runner, image):
    with pytest.raises(ModelError, match=r"^frame: .*, wanted ") as caught:
        runner.predict(image)
    assert "\n" not in str(caught.value)


def test_after_a_refused_frame_the_next_one_is_scored(runner):
    with pytest.raises(ModelError):
        runner.predict(ODD_FRAMES["grey"])
    assert runner.predict(tiny.frame(tiny.OK)).score == pytest.approx(25 / 255, rel=1e-4)


@pytest.mark.parametrize("device", ["TPU", "cpu", "", "CPU ", "GPU.7", "AUTO", "CPU,GPU"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(bundle, device):
    with pytest.raises(ModelError, match=r"not on this machine, which has .*CPU.*; set one of these"):
        Runner.of(open_bundle(bundle), device)


BROKEN = {
    "no xml": (MODEL_XML, b"this is no graph"),
    "empty xml": (MODEL_XML, b""),
    "other xml": (MODEL_XML, b"<?xml version='1.0'?><html/>"),
    "unknown layer": (MODEL_XML, b"Telepathy"),
    "empty weights": (MODEL_BIN, b""),
    "no weights": (MODEL_BIN, None),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_an_ir_that_openvino_cannot_read_is_one_line_and_no_traceback(spare, kind):
    """Past the hashes, that is: a trainer could have written nonsense."""
    name, content = BROKEN[kind]
    path = spare / name
    if kind == "unknown layer":
        content = path.read_bytes().replace(b'type="AvgPool"', b'type="Telepathy"')
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        Runner(spare / MODEL_XML, tiny.DECODER, "f32").predict(coloured())
    message = str(caught.value)
    assert "make the bundle again" in message
    assert str(spare / MODEL_XML) in message
    assert "\n" not in message


def test_a_graph_without_our_output_is_a_model_error(spare):
    text = (spare / MODEL_XML).read_text()
    (spare / MODEL_XML).write_text(text.replace("distances", "guesses"))
    with pytest.raises(ModelError):
        Runner(spare / MODEL_XML, tiny.DECODER, "f32").predict(coloured())


def test_a_device_that_fails_is_a_model_error_that_names_it(bundle, monkeypatch):
    runner = Runner.of(open_bundle(bundle))
    runner.predict(coloured())

    class Failing:
        def set_input_tensor(self, tensor):
            pass

        def start_async(self):
            raise RuntimeError("Exception from src/inference/a.cpp:1:\n\n  the device was lost\n\n")

    runner._requests[60, 80] = Failing()
    with pytest.raises(ModelError, match=r"^CPU: inference failed \(the device was lost\); see"):
        runner.predict(coloured())
