"""What was compiled is kept for the next start, and nothing that is damaged is taken."""

import os
from pathlib import Path

import numpy as np
import pytest

from models import cache, compiled
from models.bundle import MODEL_XML, open_bundle
from models.cache import Cache
from models.errors import ModelError
from models.runner import Runner
from tests import tiny
from tests.models.test_bundle import edit, flip


@pytest.fixture
def kept(tmp_path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def compilations(monkeypatch) -> list[str]:
    """Every graph that is read to be compiled."""
    read, seen = compiled.Compiled._model, []
    monkeypatch.setattr(compiled.Compiled, "_model", lambda self: seen.append("read") or read(self))
    return seen


def blobs(kept: Cache) -> list[Path]:
    return sorted(kept.folder.glob("*"))


def score(bundle: Path, kept: Cache, frame: np.ndarray | None = None, **how: str) -> float:
    image = tiny.frame(tiny.NG) if frame is None else frame
    return Runner.of(open_bundle(bundle), cache=kept, **how).predict(image).score


def test_the_second_start_reads_no_graph_and_scores_the_same(bundle, kept, compilations):
    first = score(bundle, kept)
    assert compilations == ["read"]
    assert len(blobs(kept)) == 1
    assert score(bundle, kept) == first
    assert compilations == ["read"], "nothing was compiled again"


def test_another_graph_size_or_setting_is_another_blob(bundle, spare, kept, tmp_path):
    other = tiny.make_bundle(tmp_path / "other", nan=True)
    score(bundle, kept)
    score(other, kept)
    score(bundle, kept, hint="throughput")
    score(bundle, kept, tiny.frame(tiny.NG, 40, 50))
    assert len(blobs(kept)) == 4
    edit(spare, lambda raw: raw["threshold"].update(ng_at_or_above=0.6))
    score(spare, kept)
    assert len(blobs(kept)) == 4, "a threshold is no part of the graph"


def test_a_blob_that_was_damaged_is_compiled_anew_and_replaced(bundle, kept, compilations):
    first = score(bundle, kept)
    (blob,) = blobs(kept)
    whole = blob.read_bytes()
    for damage in (lambda: flip(blob), lambda: os.truncate(blob, 100), lambda: os.truncate(blob, 0)):
        damage()
        assert score(bundle, kept) == first
        assert len(blob.read_bytes()) == len(whole)
    assert len(compilations) == 4


def test_a_blob_that_is_whole_but_none_of_openvinos_is_compiled_anew(bundle, kept, compilations, monkeypatch):
    first = score(bundle, kept)
    monkeypatch.setattr(Cache, "load", lambda *_: b"<no blob>")
    assert score(bundle, kept) == first
    assert len(compilations) == 2


def test_a_folder_that_everybody_may_write_to_is_not_read_from(bundle, kept, compilations):
    score(bundle, kept)
    kept.folder.chmod(0o777)
    score(bundle, kept)
    assert len(compilations) == 2


def test_a_folder_that_cannot_be_written_costs_time_and_nothing_else(bundle, kept, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert score(bundle, kept) == pytest.approx(tiny.NG / 255, rel=1e-4)


def test_the_least_recently_used_blobs_go(tmp_path):
    kept = Cache(tmp_path / "cache")
    for number in range(cache._MAX_BLOBS):
        kept.store(str(number), b"x")
        os.utime(kept._path(str(number)), (number, number))
    assert kept.load("0") == b"x", "it is used, and so the youngest"
    kept.store("new", b"y")
    assert kept.load("0") == b"x"
    assert kept.load("1") is None
    assert len(blobs(kept)) == cache._MAX_BLOBS


def test_a_graph_that_cannot_be_read_is_an_error_with_a_cache_too(spare, kept):
    (spare / MODEL_XML).write_text("<net/>")
    with pytest.raises(ModelError, match="OpenVINO cannot read it"):
        Runner(spare / MODEL_XML, tiny.DECODER, "f32", cache=kept).predict(tiny.frame())


def test_what_is_asked_of_the_plugin_is_what_it_answers(bundle, kept):
    for _ in ("compiled", "loaded"):
        runner = Runner.of(open_bundle(bundle), cache=kept)
        assert runner.settings == {}
        runner.predict(tiny.frame())
        assert runner.settings["INFERENCE_PRECISION_HINT"] == "f32"
        assert runner.settings["EXECUTION_MODE_HINT"] == "ACCURACY"
        assert runner.settings["NUM_STREAMS"] == "1"
        assert runner.deviations == ()


def test_a_plugin_that_computes_otherwise_than_asked_is_refused(bundle, monkeypatch):
    """As this one does, which takes bf16 for f16 without a word."""
    runner = Runner.of(open_bundle(bundle))
    asked = dict(runner._compiled.profile.asked) | {"INFERENCE_PRECISION_HINT": "f16"}
    object.__setattr__(runner._compiled.profile, "asked", asked)
    with pytest.raises(ModelError, match=r"asked for INFERENCE_PRECISION_HINT f16, its plugin answers (bf16|f32)"):
        runner.predict(tiny.frame())
