"""What stands in for compiled mmcv, and the bridge from mmdeploy to the OpenVINO and torch of today."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from trainer.detection.ops import NAME, StandIn, nms

ROOT = Path(__file__).resolve().parents[2]


def boxes_of(torch, n: int, seed: int, side: int = 100):
    """n random boxes, whole pixels: many of them overlap, some are the same."""
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, side, (n, 2))
    return torch.tensor(np.hstack([corner, corner + rng.integers(1, side // 2, (n, 2))]).astype(np.float32))


@pytest.mark.parametrize("n", [1, 2, 30, 400])
@pytest.mark.parametrize("limit", [0.0, 0.301, 0.651, 1.0])
def test_the_boxes_kept_are_those_that_torchvision_keeps(torch, n, limit):
    from torchvision.ops import nms as theirs

    for seed in range(5):
        boxes = boxes_of(torch, n, seed)
        scores = torch.tensor(np.random.default_rng(seed).permutation(n).astype(np.float32) / n)
        kept = nms(boxes, scores, limit)
        assert kept.dtype == torch.int64
        assert kept.tolist() == theirs(boxes, scores, limit).tolist()


def test_of_equal_scores_the_first_box_is_kept(torch):
    boxes = torch.tensor([[0.0, 0, 10, 10]] * 3 + [[50, 50, 60, 60]] * 2)
    assert nms(boxes, torch.full((5,), 0.5), 0.5).tolist() == [0, 3]


def test_without_boxes_nothing_is_kept(torch):
    kept = nms(torch.zeros((0, 4)), torch.zeros(0), 0.5)
    assert (tuple(kept.shape), kept.dtype) == ((0,), torch.int64)


def test_empty_boxes_suppress_nothing(torch):
    boxes = torch.tensor([[5.0, 5, 5, 5], [5, 5, 5, 5], [0, 0, 10, 10]])
    assert nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist() == [0, 1, 2]


def test_with_an_offset_edges_are_whole_pixels_that_belong_to_the_box(torch):
    """Two boxes of one column each, beside each other: with the offset each is two pixels wide and they share one."""
    boxes, scores = torch.tensor([[0.0, 0, 1, 9], [1, 0, 2, 9]]), torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, 0.3).tolist() == [0, 1]
    assert nms(boxes, scores, 0.3, offset=1).tolist() == [0], "1/3 is shared"


def test_every_other_function_says_that_it_is_missing_and_what_to_do():
    stand_in = StandIn()
    with pytest.raises(NotImplementedError, match=r"mmcv\._ext\.roi_align_forward: .*; install a compiled mmcv"):
        stand_in.roi_align_forward(1, output=2)
    with pytest.raises(AttributeError):
        _ = stand_in.__path__


def test_mmdet_uses_the_stand_in_where_nothing_is_compiled(mmdet, torch):
    from mmcv.ops import nms as mmcv_nms

    assert isinstance(sys.modules[NAME], StandIn)
    boxes, scores = boxes_of(torch, 50, 0), torch.rand(50, generator=torch.Generator().manual_seed(0))
    dets, kept = mmcv_nms(boxes, scores, 0.5)
    assert kept.tolist() == nms(boxes, scores, 0.5).tolist()
    np.testing.assert_array_equal(dets[:, 4], scores[kept])


@pytest.mark.parametrize("is_compiled", [True, False])
def test_the_stand_in_steps_aside_where_a_compiled_mmcv_is(tmp_path, is_compiled):
    (tmp_path / "mmcv").mkdir()
    (tmp_path / "mmcv/__init__.py").touch()
    if is_compiled:
        (tmp_path / "mmcv/_ext.py").write_text("nms = 'compiled'")
    code = (
        "import sys; from trainer.detection import ops\n"
        "print(ops.install(), ops.install(), sys.modules[ops.NAME].nms == 'compiled')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == (["False", "False", "True"] if is_compiled else ["True", "True", "False"])


def places() -> list[object]:
    import torch
    from mmdeploy.backend.openvino import onnx2openvino, wrapper

    return [torch.onnx.export, onnx2openvino.from_onnx, wrapper.OpenVINOWrapper]


@pytest.mark.usefixtures("mmdet")
@pytest.mark.parametrize("error", [None, KeyboardInterrupt, ValueError])
def test_after_the_bridge_everything_is_as_before_whatever_happened_on_it(error):
    from trainer.detection.bridge import bridged

    before = places()
    try:
        with bridged():
            assert not any(now is old for now, old in zip(places(), before, strict=True))
            if error:
                raise error
    except (KeyboardInterrupt, ValueError):
        pass
    assert all(now is old for now, old in zip(places(), before, strict=True))


@pytest.mark.usefixtures("mmdet")
def test_without_the_bridge_mmdeploy_does_not_convert_to_openvino(tmp_path):
    """When this test fails, mmdeploy has come to the present: the bridge may lose that part."""
    from mmdeploy.backend.openvino.onnx2openvino import from_onnx

    with pytest.raises(RuntimeError, match=r"mo|Model Optimizer"):
        from_onnx(str(tmp_path / "a.onnx"), str(tmp_path / "a"), {"input": [1, 3, 32, 32]}, ["dets"])


@pytest.mark.usefixtures("mmdet")
def test_making_mmdet_ready_changes_nothing_for_the_rest_of_the_process(torch):
    """All tests, and all families, share one process."""
    import logging
    import multiprocessing
    import warnings

    import cv2

    from trainer.detection.train import ready

    def state():
        switches = cv2.getNumThreads(), torch.get_num_threads(), multiprocessing.get_start_method(allow_none=True)
        return *switches, tuple(warnings.filters), logging.root.level, tuple(logging.root.handlers), dict(os.environ)

    before = state()
    ready()
    assert state() == before
