"""bf16 is for processors that compute it."""

import pytest

from models import precision
from models.bundle import MODEL_XML
from models.errors import ModelError
from models.runner import Runner
from tests import tiny


@pytest.fixture
def flags(tmp_path, monkeypatch):
    """Writes what Linux says of the processor."""
    file = tmp_path / "cpuinfo"
    monkeypatch.setattr(precision, "CPU_INFO", file)
    return lambda text: file.write_text(f"processor\t: 0\n{text}\n")


@pytest.mark.parametrize(
    ("said", "able"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16 vnni", True),
        ("flags\t\t: fpu amx_bf16 amx_tile", True),
        ("flags\t\t: fpu avx2 avx512f avx512bw", False),
        ("", False),
    ],
)
def test_a_cpu_is_believed_when_linux_says_so(flags, said, able):
    assert not precision.cpu_has_bf16(), "there is no such file"
    flags(said)
    assert precision.cpu_has_bf16() == able


def test_a_bundle_of_bf16_is_refused_on_a_cpu_that_would_emulate_it(flags, bundle):
    flags("flags: fpu avx2 avx512f")
    with pytest.raises(ModelError, match=r"CPU: does not compute bf16 by itself, .*; fit with --precision f32 for"):
        Runner(bundle / MODEL_XML, tiny.DECODER, "bf16")
    Runner(bundle / MODEL_XML, tiny.DECODER, "f32")


def test_a_bundle_of_bf16_runs_on_a_cpu_that_computes_it(flags, bundle):
    flags("flags: fpu avx512_bf16")
    runner = Runner(bundle / MODEL_XML, tiny.DECODER, "bf16")
    assert runner.predict(tiny.frame(tiny.NG)).score == pytest.approx(tiny.NG / 255, rel=0.02)


def test_other_devices_are_asked_by_themselves(flags):
    flags("")
    precision.refuse_unable("GPU", "bf16")
    precision.refuse_unable("GPU.1", "f16")
