"""The dashboards that ship: as they are described, and asking only for what there is."""

import json
import re

import pytest
import yaml

import deploy.grafana.__main__ as written
from deploy.grafana.panels import boards
from tests.deploy.test_prometheus import RULES, SCRAPED, exposed, names_in

DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted(written.FOLDER.glob("*.json"))}
PANELS = [(uid, panel) for uid, board in DASHBOARDS.items() for panel in board["panels"]]
UNITS = {"short", "s", "ops", "percentunit", "bytes", "dateTimeAsIso"}


def test_the_dashboards_are_those_that_are_described():
    found = {path.name: path.read_text() for path in written.FOLDER.glob("*.json")}
    assert found == written.texts(), "run `make dashboards`"
    assert {board.uid for board in boards()} == set(DASHBOARDS)


@pytest.mark.parametrize(
    ("uid", "panel"), PANELS, ids=lambda value: value if isinstance(value, str) else value["title"]
)
def test_a_panel_has_a_unit_a_help_a_threshold_and_asks_for_what_there_is(uid, panel):
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"] in UNITS
    assert len(panel["description"]) > 10
    assert defaults["thresholds"]["steps"][0]["value"] is None
    made = {rule["record"] for rule in RULES if "record" in rule}
    for target in panel["targets"]:
        assert set(re.findall(r"\bmekiki(?::\w+)+", target["expr"])) <= made
        asked = {name for name in names_in(target["expr"]) if not any(name in one for one in made)}
        assert asked <= exposed() | SCRAPED
        assert not re.search(r"\b(BOX|CAMERA)\b", target["expr"])


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_panels_fill_rows_and_none_lies_on_another(uid):
    taken = set()
    for panel in DASHBOARDS[uid]["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_line_box_and_camera_are_chosen_above_and_each_offers_what_the_others_leave(uid):
    queries = {one["name"]: one["query"] for one in DASHBOARDS[uid]["templating"]["list"] if one["type"] == "query"}
    assert list(queries) == ["line", "instance", "camera"]
    assert queries["camera"]["query"] == 'label_values(mekiki_camera_up{line=~"$line",instance=~"$instance"}, camera)'


def test_the_provisioning_reads_the_folder_that_compose_brings():
    folder = written.FOLDER.parent
    (provider,) = yaml.safe_load((folder / "provisioning/dashboards/mekiki.yml").read_text())["providers"]
    services = yaml.safe_load((folder.parent / "compose.yaml").read_text())["services"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in services["grafana"]["volumes"]
    assert all(port.startswith("127.0.0.1:") for one in services.values() for port in one["ports"])
    for one in services.values():
        for volume in one["volumes"]:
            assert not volume.startswith("./") or (folder.parent / volume.split(":")[0]).is_dir()
