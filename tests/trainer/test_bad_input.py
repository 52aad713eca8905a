"""What people will do to the trainer: one clear line, the right exit code, nothing half-written."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread

import cv2
import numpy as np
import pytest

from models import files
from models.bundle import MANIFEST, MODEL_BIN, open_bundle
from models.images import read_image
from tests import tiny
from tests.trainer.conftest import fit_arguments
from tests.trainer.plates import make_good, plate
from trainer.cli import main

ROOT = Path(__file__).resolve().parents[2]
FAILED, WRONG_USAGE = 1, 2


def code_of(arguments) -> int:
    """argparse leaves with SystemExit; a shell sees no difference."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as ended:
        return int(ended.code or 0)


def inside(folder: Path) -> dict[str, int]:
    """Every path below, hidden ones too, and of files the time of change."""
    return {str(path): 0 if path.is_dir() else path.lstat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture
def refused(tmp_path, capsys, monkeypatch):
    """Runs a command that must fail with `code`; returns its one line. Nothing may change on disk."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))

    def run(arguments, code) -> str:
        before = inside(tmp_path)
        assert code_of(arguments) == code
        err = capsys.readouterr().err
        assert err.startswith("mekiki-train")
        assert err.count("\n") == 1
        assert err.endswith("\n")
        assert "Traceback" not in err
        assert inside(tmp_path) == before
        return err

    return run


@pytest.fixture
def data(tmp_path) -> Path:
    """Four good plates and one with a hole, in plain folders."""
    make_good(tmp_path / "data/good", 4)
    tiny.write_image(tmp_path / "data/hole/000.png", plate(50, hole=True))
    return tmp_path / "data"


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "plates.bundle"


@pytest.fixture(scope="module", autouse=True)
def interrupted(tmp_path_factory):
    """A fit in its own process, interrupted when it has measured the pose. Its imports take long: it starts first."""
    folder = tmp_path_factory.mktemp("interrupted")
    (folder / "scratch").mkdir()
    make_good(folder / "data/good", 80)  # many, so that the fit is not done before a busy machine gets to the signal
    before = inside(folder)
    # torch makes this folder when it is imported beside onnx; it is no more ours than Python's byte code.
    caches = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path_factory.mktemp("inductor"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "trainer.cli", *fit_arguments(folder / "data", folder / "out", "--augment", "on")],
        cwd=ROOT,
        env=os.environ | caches | {"TMPDIR": str(folder / "scratch"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    ended = {}

    def interrupt() -> None:
        if any(line.startswith("pose:") for line in process.stdout):
            process.send_signal(signal.SIGINT)
        ended["out"], ended["err"] = process.communicate()

    watcher = Thread(target=interrupt, name="interrupt")
    watcher.start()
    yield process, watcher, ended, (folder, before)
    process.kill()
    watcher.join()


def test_a_missing_data_folder(refused, tmp_path, out):
    line = refused(fit_arguments(tmp_path / "none", out), FAILED)
    assert "none: no such folder; wanted train/good/" in line


def test_a_folder_without_images(refused, tmp_path, out):
    (tmp_path / "data/good").mkdir(parents=True)
    assert "no images, good parts are what is learned from" in refused(fit_arguments(tmp_path / "data", out), FAILED)


def test_a_data_set_with_defects_only(refused, data, out):
    shutil.rmtree(data / "good")
    assert "defects only (hole), good parts are what" in refused(fit_arguments(data, out), FAILED)


def test_good_images_in_the_test_folder_only(refused, tmp_path, out):
    make_good(tmp_path / "data/test/good", 4)
    assert "0 good image(s) to learn from, at least 2" in refused(fit_arguments(tmp_path / "data", out), FAILED)


def test_one_good_image(refused, tmp_path, out):
    make_good(tmp_path / "data/good", 1)
    line = refused(fit_arguments(tmp_path / "data", out), FAILED)
    assert "1 good image(s) to learn from, at least 2 are needed and 20 are a good start; add images" in line


def test_a_zero_byte_image(refused, data, out):
    (data / "good/002.png").write_bytes(b"")
    line = refused(fit_arguments(data, out), FAILED)
    assert "good/002.png: 0 bytes, an image was wanted; replace the file or remove it" in line


def test_a_truncated_image(refused, data, out):
    whole = (data / "good/002.png").read_bytes()
    (data / "good/002.png").write_bytes(whole[: len(whole) // 2])
    assert "good/002.png: " in refused(fit_arguments(data, out), FAILED)


def test_a_text_file_with_the_name_of_an_image(refused, data, out):
    (data / "good/002.png").write_text("no image")
    assert "good/002.png: 8 bytes that are no whole image; replace" in refused(fit_arguments(data, out), FAILED)


def test_an_image_of_floats(refused, data, out):
    cv2.imwrite(str(data / "good/002.tiff"), np.zeros((16, 16), np.float32))
    assert "good/002.tiff: pixels are float32, wanted 8 or 16 bit" in refused(fit_arguments(data, out), FAILED)


def test_an_unreadable_image_among_the_defects(refused, data, out, weights):
    (data / "hole/000.png").write_bytes(b"")
    line = refused(fit_arguments(data, out, "--weights", weights), FAILED)
    assert "hole/000.png: 0 bytes, an image was wanted" in line


def test_recall_1_without_defects(refused, data, out, weights):
    shutil.rmtree(data / "hole")
    line = refused(fit_arguments(data, out, "--weights", weights, "--policy", "recall_1"), FAILED)
    assert "--policy recall_1 needs images of defects: add a folder of them, or use normal_quantile" in line


def test_a_bank_too_small_to_hold_an_image_out(refused, data, out, weights):
    line = refused(fit_arguments(data, out, "--weights", weights, "--bank", 1), FAILED)
    assert "--bank 1: what was kept comes from one image alone; raise --bank or add good images" in line


def test_weights_that_are_not_there(refused, data, out):
    line = refused(fit_arguments(data, out, "--weights", "none.pth"), WRONG_USAGE)
    assert "none.pth: no such file; give --weights the path of a .pth or .safetensors file" in line


def test_a_backbone_that_timm_does_not_know(refused, data, out):
    line = refused(fit_arguments(data, out, "--backbone", "resnet1"), WRONG_USAGE)
    assert "--backbone resnet1: timm has no such model; near it: " in line


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--family", "horoscope", "argument --family: invalid choice: 'horoscope' (choose from"),
        ("--model", "horoscope", "argument --model: invalid choice: 'horoscope' (choose from"),
        ("--image-size", "0", "argument --image-size: 0: 1 to 4096 pixels were wanted, such as 384"),
        ("--image-size", "-32", "argument --image-size: -32: 1 to 4096 pixels"),
        ("--image-size", "384px", "argument --image-size: 384px: 1 to 4096 pixels"),
        ("--image-size", "100000", "argument --image-size: 100000: 1 to 4096 pixels"),
        ("--image-size", "99.5", "argument --image-size: 99.5: 1 to 4096 pixels"),
        ("--cycle-time", "0", "argument --cycle-time: 0: seconds above 0 were wanted, without a unit, such as 0.5"),
        ("--cycle-time", "200ms", "argument --cycle-time: 200ms: seconds above 0"),
        ("--cycle-time", "nan", "argument --cycle-time: nan: seconds above 0"),
        ("--seed", "-1", "argument --seed: -1: a whole number of 0 or more was wanted"),
        ("--bank", "0", "argument --bank: 0: a whole number of 1 or more was wanted"),
        ("--limit", "0", "argument --limit: 0: a whole number of 1 or more was wanted"),
        ("--policy", "recall1", "argument --policy: invalid choice: 'recall1' (choose from"),
        ("--threshold", "5", "unrecognized arguments: --threshold=5"),
    ],
)
def test_a_wrong_option(refused, data, out, option, value, complaint):  # noqa: PLR0917
    assert complaint in refused([*fit_arguments(data, out), f"{option}={value}"], WRONG_USAGE)


def test_no_command_at_all(refused):
    assert "COMMAND" in refused([], WRONG_USAGE)


def test_a_folder_where_nobody_may_write(refused, data, tmp_path, weights, monkeypatch):
    def deny(*_args, dir=None, **_more):  # noqa: A002 - mkdtemp's name
        raise PermissionError(errno.EACCES, "Permission denied", str(dir))

    monkeypatch.setattr("models.files.tempfile.mkdtemp", deny)
    line = refused(fit_arguments(data, tmp_path / "a.bundle", "--weights", weights), FAILED)
    assert "Permission denied" in line


@pytest.fixture
def small_files():
    """No file may grow beyond a megabyte: a write fails for good, as on a full disk, and no root is needed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files")
def test_a_disk_that_takes_no_model(refused, data, out, weights):
    line = refused(fit_arguments(data, out, "--weights", weights), FAILED)
    assert "model.xml: OpenVINO cannot write it; the disk may be full; free space or fix the path" in line


@pytest.fixture(params=["hole_000.jpg", "model.xml", "manifest.json"])
def full(request, monkeypatch) -> str:
    """The disk is full from when a file of this name is to be synced, in the pictures or in the bundle."""
    real = files.sync

    def fill(path):
        if path.name == request.param:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path)

    monkeypatch.setattr(files, "sync", fill)
    return request.param


def test_a_disk_that_fills_while_pictures_and_bundle_are_written(refused, data, out, weights, full):
    line = refused(fit_arguments(data, out, "--weights", weights), FAILED)
    assert f"{full}: No space left on device; free space or fix the path, then run again" in line


def evaluate_arguments(bundle, data, *more):
    return ["evaluate", bundle, "--data", data, *more]


def test_measuring_a_bundle_that_is_not_there(refused, data, tmp_path):
    line = refused(evaluate_arguments(tmp_path / "none.bundle", data), FAILED)
    assert "none.bundle: nothing there, a bundle folder was wanted" in line


def test_measuring_a_tampered_bundle(refused, data, spare):
    weights = spare / MODEL_BIN
    weights.write_bytes(bytes([weights.read_bytes()[0] ^ 1]) + weights.read_bytes()[1:])
    assert "model.bin: sha256" in refused(evaluate_arguments(spare, data), FAILED)


def test_measuring_a_truncated_bundle(refused, data, spare):
    (spare / MODEL_BIN).unlink()
    assert "model.bin: missing, the manifest names it" in refused(evaluate_arguments(spare, data), FAILED)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"schema_version": 1', '"schema_version": 2', "schema 2, this mekiki reads up to 1; upgrade mekiki"),
        ('"family": "anomaly"', '"family": "horoscope"', "family 'horoscope', this mekiki runs anomaly"),
    ],
)
def test_measuring_a_bundle_of_another_kind(refused, data, spare, old, new, complaint):  # noqa: PLR0917
    manifest = spare / MANIFEST
    manifest.write_text(manifest.read_text().replace(old, new))
    assert complaint in refused(evaluate_arguments(spare, data), FAILED)


def test_measuring_without_data(refused, spare, tmp_path):
    assert "none: no such folder" in refused(evaluate_arguments(spare, tmp_path / "none"), FAILED)


def test_measuring_an_unknown_defect(refused, spare, data):
    line = refused(evaluate_arguments(spare, data, "--defects", "hole,scratch"), WRONG_USAGE)
    assert "no defect 'scratch'; it has hole" in line


def test_measuring_an_unreadable_image(refused, spare, data):
    (data / "hole/000.png").write_bytes(b"")
    assert "hole/000.png: 0 bytes" in refused(evaluate_arguments(spare, data, "--json"), FAILED)


def test_measuring_on_good_images_alone(refused, spare, data):
    shutil.rmtree(data / "hole")
    line = refused(evaluate_arguments(spare, data), FAILED)
    assert "0 kinds of defect; both are needed to measure: add images to test/good/ and test/<defect>/" in line


def test_images_of_mixed_sizes_and_kinds_do_fit(tmp_path, out, weights, capsys):
    good = tmp_path / "data/good"
    make_good(good, 3)
    grey = plate(10)[:, :, 0]
    tiny.write_image(good / "grey.png", grey)
    tiny.write_image(good / "sixteen.png", grey.astype(np.uint16) * 257)
    tiny.write_image(good / "alpha.png", np.dstack([plate(11), np.full(grey.shape, 128, np.uint8)]))
    tiny.write_image(good / "large.jpg", plate(12, height_px=200, width_px=150))
    tiny.write_image(good / "small.bmp", plate(13, height_px=64, width_px=64))
    assert np.array_equal(read_image(good / "sixteen.png"), read_image(good / "grey.png"))
    assert main(fit_arguments(tmp_path / "data", out, "--weights", weights)) == 0
    said = capsys.readouterr()
    assert "8 good to learn from, 0 good to test, no defects; 128x128 150x200 64x64 px" in said.out
    assert "warning: images of several sizes are scaled to one" in said.out
    assert said.err == ""
    assert open_bundle(out).manifest.training.image_sizes_px == ((64, 64), (128, 128), (200, 150))


def test_ctrl_c_in_the_middle_of_a_fit(interrupted):
    process, watcher, ended, (folder, before) = interrupted
    watcher.join(150)
    assert process.returncode == FAILED
    assert ended["err"] == "mekiki-train: interrupted; nothing half-done was left behind\n"
    assert "bundle:" not in ended["out"]
    assert inside(folder) == before
