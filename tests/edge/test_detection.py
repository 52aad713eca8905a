"""A model that finds boxes on the line: the same daemon, the same verdicts, and regions with a label."""

import pytest
from prometheus_client import CollectorRegistry

from edge.metrics import Metrics
from models.bundle import open_bundle
from models.store import Store
from tests import tiny
from tests.edge.box import Subscriber, no_holes

WAIT = "wait_for_subscriber_s = 20"
HALF_PX = tiny.SIDE_PX // 2
FAINT = 100  # a box above the floor and below the threshold


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return tiny.make_boxes_bundle(tmp_path_factory.mktemp("detector") / "boxes.bundle", nan=True)


def test_a_detector_judges_every_image_of_a_folder_and_names_what_it_found(box, detector):
    box.bundle = detector
    line = box.images("line", [tiny.OK, tiny.NG, FAINT, tiny.WHITE])
    (line / "0004.png").write_bytes(b"")
    box.write_folder("line", bus=WAIT)
    verdicts = box.judge()
    assert [(v["outcome"], v["reason"], len(v["regions"])) for v in verdicts] == [
        ("ok", None, 0),
        ("ng", "defect", 1),
        ("ok", None, 0),
        ("unknown", "not_finite", 0),
        ("unknown", "bad_frame", 0),
    ]
    assert [v["score"] for v in verdicts] == [0, pytest.approx(200 / 255), pytest.approx(FAINT / 255), None, None]
    (region,) = verdicts[1]["regions"]
    assert region == {
        "x_px": 0,
        "y_px": 0,
        "width_px": HALF_PX,
        "height_px": HALF_PX,
        "score": verdicts[1]["score"],
        "label": "spot",
    }


def test_check_finds_a_detector_in_order(box, detector):
    box.bundle = detector
    box.images("line", [tiny.OK])
    box.write_folder("line")
    out = box.check()
    assert "ok      model: detection/tiny compiled for CPU at f32" in out
    assert "ok      golden: 2 images as the manifest says, scores within 0.0e+00 relative" in out


def test_the_metrics_name_the_family_of_a_detector(detector):
    metrics = Metrics(CollectorRegistry(), ["top"])
    bundle = open_bundle(detector)
    metrics.model("top", bundle, "CPU", "f32")
    labels = {"camera": "top", "bundle": bundle.digest, "family": "detection", "model": "tiny"}
    device = {"device": "CPU", "precision": "f32"}
    assert metrics.registry.get_sample_value("mekiki_model_info", labels | device) == 1


def test_a_store_goes_from_a_heatmap_to_boxes_and_back_under_flow_without_a_hole(box, detector, old):
    store = Store(box.folder / "store")
    store.activate(store.add(box.bundle).digest)
    box.images("line", [tiny.OK, tiny.NG])
    box.write_folder("line", "loop = true\nfps = 100", head='store = "store"', bus=WAIT)
    with Subscriber(box.address) as subscriber, box.daemon():
        verdicts = subscriber.take(10)
        new = store.activate(store.add(detector).digest).digest
        while verdicts[-1]["bundle"] != new:
            verdicts.append(subscriber.next())
        verdicts += subscriber.take(10)
        assert box.metric("mekiki_model_info", camera="top", bundle=new, family="detection", model="tiny") == 1
        store.rollback()
        while verdicts[-1]["bundle"] != old:
            verdicts.append(subscriber.next())
        assert box.metric("mekiki_model_swaps_total", result="switched") == 2
    assert no_holes(verdicts)
    assert {v["outcome"] for v in verdicts} == {"ok", "ng"}
    labels = {(v["bundle"], region["label"]) for v in verdicts for region in v["regions"]}
    assert labels == {(old, None), (new, "spot")}


def test_the_heatmap_of_a_detector_is_the_picture_with_its_boxes_drawn(box, detector):

    box.bundle = detector
    shown = box.heatmap(tiny.NG)
    assert shown.shape == (tiny.SIDE_PX, tiny.SIDE_PX, 3)
    red = shown[:, :, 2].astype(int) - shown[:, :, 0]
    assert red[HALF_PX // 2 :, HALF_PX - 2 : HALF_PX + 2].max() > 60, "the right edge of the box"
    assert abs(red[HALF_PX + 8 :, HALF_PX + 8 :]).max() < 25, "and nothing where no box is"
