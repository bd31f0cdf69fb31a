"""The board *Plant* as Grafana reads it: its parts, its names, its looks."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest
from grafana_foundation_sdk.models import dashboard as model

from config.names import ABSENT, CAUSE, PROVISIONAL, REVISION, Level, Measurement, SignalField, StateField, Tag, Window
from grafana import looks
from grafana.plant import COLUMNS, TIME_PARTS, plant_board
from grafana.queries import ALL, as_json, expand, queries, variable_queries
from kpi.elements import ELEMENT_IDS
from kpi.formulas import KPI_IDS
from kpi.plant import State

BOARD = plant_board()
PANELS: list[dict[str, Any]] = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
TITLES = [panel["title"] for panel in PANELS]


def test_the_board_covers_what_a_plant_asks_for() -> None:
    kinds = {panel["type"] for panel in PANELS}
    assert {"stat", "table", "state-timeline", "timeseries", "status-history", "barchart"} <= kinds
    for word in ("OEE", "Machines now", "Good pieces", "Scrapped", "power (kW)", "per piece", "coverage", "States"):
        assert any(word in title for title in TITLES), word


def test_the_board_survives_the_models_of_this_grafana_unchanged() -> None:
    assert as_json(model.Dashboard.from_json(json.loads(json.dumps(BOARD)))) == BOARD


def test_panels_have_unique_numbers_and_do_not_overlap() -> None:
    everything = BOARD["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    boxes = [panel["gridPos"] for panel in everything]
    assert all(box["x"] + box["w"] <= 24 for box in boxes)
    for a, b in itertools.combinations(boxes, 2):
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, (a, b)


@pytest.mark.parametrize("panel", PANELS, ids=TITLES)
def test_a_panel_explains_itself_and_asks_the_chosen_database(panel: dict[str, Any]) -> None:
    assert len(panel["description"]) > 60
    assert panel["datasource"] == {"type": "influxdb", "uid": "${datasource}"}
    for target in panel["targets"]:
        assert target["datasource"] == panel["datasource"]
        assert target["rawQuery"] is True
        assert target["resultFormat"] in {"table", "time_series"}


def test_panels_of_a_kpi_give_its_formula() -> None:
    (machines,) = [panel for panel in PANELS if panel["title"].startswith("Machines, ")]
    for formula in ("apt / (pbt - unknown)", "ideal_pq / apt", "ideal_gq / (pbt - unknown)"):
        assert formula in machines["description"]


def test_queries_name_only_what_the_agent_writes() -> None:
    known = {
        *Measurement, *Tag, *KPI_IDS, *ELEMENT_IDS, *StateField, *SignalField, ABSENT, CAUSE, PROVISIONAL, REVISION,
    }  # fmt: skip
    for found in queries(BOARD):
        assert set(re.findall(r'"(\w+)"', found.query)) <= known, found
        literals = set(re.findall(r"'(\w+)'", found.query)) - {"power"}
        assert literals <= {*Level, *Window}, found


def test_no_query_averages_a_ratio() -> None:
    for found in queries(BOARD):
        if '"kpi"' in found.query:
            assert not re.search(r"\b(mean|sum|median|mode|spread|percentile)\s*\(", found.query), found


def test_no_query_reads_a_kpi_from_points_that_call_it_absent() -> None:
    kpis = [
        (found, name) for found in queries(BOARD) for name in re.findall(r'"(\w+)"', found.query) if name in KPI_IDS
    ]
    assert len({name for _, name in kpis}) >= 7
    for found, name in kpis:
        assert f'"absent" !~ /(^| ){name}( |$)/' in found.query, found


def test_tables_say_which_version_they_show() -> None:
    for title in ("Lines, ", "Machines, "):
        (panel,) = [panel for panel in PANELS if panel["title"].startswith(title)]
        shown = {
            override["matcher"]["options"]: next(one["value"] for one in override["properties"])
            for override in panel["fieldConfig"]["overrides"]
        }
        assert (shown[PROVISIONAL], shown[REVISION], shown[CAUSE]) == ("Window", "Revision", "Corrected by")
        merge, order = panel["transformations"]
        assert merge["id"] == "merge"
        assert not any(order["options"]["excludeByName"].values())


def test_every_state_has_a_colour_of_its_own_in_lamps_and_timeline() -> None:
    assert looks.STATE_COLOURS.keys() == set(State)
    assert len(set(looks.STATE_COLOURS.values())) == len(State)
    mapped = [panel["fieldConfig"]["defaults"]["mappings"][0]["options"] for panel in PANELS if _mapped(panel)]
    assert [set(options) for options in mapped] == [{str(int(s)) for s in State}, {s.name.lower() for s in State}]


def _mapped(panel: dict[str, Any]) -> bool:
    return bool(panel["fieldConfig"]["defaults"].get("mappings"))


def test_ratios_are_shown_as_percent_and_never_capped() -> None:
    for column in COLUMNS:
        if column.field in looks.KPI_LIMITS:
            assert column.unit == "percentunit"
    assert looks.KPI_LIMITS["effectiveness"].most is not None
    assert set(looks.KPI_LIMITS) <= set(KPI_IDS)


def test_the_parts_of_planned_time_have_names_and_colours() -> None:
    assert [part.element for part in TIME_PARTS if part.element not in ELEMENT_IDS] == []
    assert len({part.colour for part in TIME_PARTS}) == len(TIME_PARTS)


def test_variables_narrow_from_site_to_line_to_machine() -> None:
    names = [variable["name"] for variable in BOARD["templating"]["list"]]
    assert names == ["datasource", "site", "line", "machine", "window"]
    asked = variable_queries(BOARD)
    assert "${site:regex}" in asked["line"]
    assert "${line:regex}" in asked["machine"]


def test_expanding_fills_in_what_grafana_fills_in() -> None:
    query = "$timeFilter AND time > ${__to}ms - 5m GROUP BY time($__interval), $__interval_ms '${w}' /^${m:regex}$/"
    assert expand(query, 1000, 61_000, 20_000, {"w": "shift", "m": ["a.b", "c/d"]}) == (
        "time >= 1000ms and time <= 61000ms AND time > 61000ms - 5m GROUP BY time(20s), 20000 'shift' "
        r"/^(a\.b|c\/d)$/"
    )
    assert expand("/^${m:regex}$/", 0, 1, 1, {"m": ALL}) == "/^.*$/"
    assert expand("/^${m:regex}$/", 0, 1, 1, {"m": "x+"}) == r"/^x\+$/"


def test_expanding_a_variable_without_a_value_names_it() -> None:
    with pytest.raises(KeyError, match="machine"):
        expand("${machine:regex}", 0, 1, 1)
