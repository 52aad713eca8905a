import math

import pytest

from models.bundle import open_bundle
from models.runner import Runner
from models.scoring import judge
from tests import tiny


def test_the_tiny_bundle_verifies_and_judges_dark_and_bright(tmp_path):
    bundle = open_bundle(tiny.make_bundle(tmp_path / "tiny.bundle"))
    runner, threshold = Runner.of(bundle), bundle.manifest.threshold.ng_at_or_above
    dark, spot = (runner.predict(tiny.frame(patch, 48, 90)) for patch in (tiny.OK, tiny.NG))
    assert dark.heatmap.shape == (8, 8)
    assert dark.score == pytest.approx(25 / 255, rel=1e-3)
    assert judge(dark.score, threshold) == ("ok", None)
    assert judge(spot.score, threshold) == ("ng", "defect")


def test_the_tiny_bundle_gives_nan_for_white_when_asked(tmp_path):
    runner = Runner.of(open_bundle(tiny.make_bundle(tmp_path / "tiny.bundle", nan=True)))
    assert math.isnan(runner.predict(tiny.frame(tiny.WHITE)).score)
    assert math.isfinite(runner.predict(tiny.frame(tiny.NG)).score)
