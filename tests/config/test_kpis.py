"""Own KPIs, declared elements and rules of lines, from the file to what formulas take; faults are among the cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import CompiledPlant, ConfigError, load_and_compile
from config.derivations import derivations
from kpi.formulas import KPIS, STANDARD
from kpi.lines import LineKind, LineRule

DAY = 86_400_000_000_000


MILL = """product: {node: "ns=2;s=Product2"}
        default_ideal_cycle_time: 25 s"""


def compiled(folder: Path, *, more: str = "", rule: str = "", plant: str = "", mill: str = MILL) -> CompiledPlant:
    """Two machines in a line, with parts of the file put in."""
    path = folder / "plant.yaml"
    path.write_text(
        f"""
plant: {{site: works, time_zone: Europe/Berlin{plant}}}
connections:
  plc: {{type: opcua, endpoint: "opc.tcp://10.0.0.1:4840"}}
products:
  X: {{ideal_cycle_time: 20 s}}
lines:
  - name: press
    {rule}
    machines:
      - id: saw
        connection: plc
        state: {{model: run_fault, signals: {{run: {{node: "ns=2;s=Run"}}}}}}
        counts: {{good: {{node: "ns=2;s=Good"}}, scrap: {{node: "ns=2;s=Scrap"}}}}
        product: {{node: "ns=2;s=Product"}}
      - id: mill
        connection: plc
        state: {{model: run_fault, signals: {{run: {{node: "ns=2;s=Run2"}}}}}}
        counts: {{total: {{node: "ns=2;s=Total2"}}}}
        ideal_cycle_time: {{X: 30 s}}
        {mill}
{more}
"""
    )
    return load_and_compile(path, environment={})


def test_a_plant_that_says_nothing_has_the_kpis_of_the_table(tmp_path: Path) -> None:
    found = compiled(tmp_path)
    assert (found.kpis, found.declared, found.line_rules) == (STANDARD, (), ())


def test_own_kpis_come_after_those_of_the_table(tmp_path: Path) -> None:
    found = compiled(
        tmp_path, more='kpis: {yield_of_time: {name: Yield of time, formula: "gq / (apt / 60)", unit: 1/min}}'
    )
    own = found.kpis.kpis[-1]
    assert found.kpis.kpis[:-1] == KPIS
    assert (own.id, own.formula, own.name_zh, own.high) == ("yield_of_time", "gq / (apt / 60)", "Yield of time", None)


def test_the_denominator_of_mean_times_is_the_plants_choice(tmp_path: Path) -> None:
    found = compiled(tmp_path, plant=", failure_denominator: failures_plus_one")
    assert found.kpis.named()["mtbf"].formula == "(apt + aust) / (fe + 1) / 3600"


@pytest.mark.parametrize(
    ("period", "days", "first"),
    [
        ("2026-09", 30, "2026-09-01"),
        ("2026-12", 31, "2026-12-01"),
        ("2026-W37", 7, "2026-09-07"),
        ("2026-09-14", 1, "2026-09-14"),
        ("2026-09-14/2026-09-20", 7, "2026-09-14"),
    ],
)
def test_a_declared_period_is_whole_days_of_the_plants_calendar(
    tmp_path: Path, period: str, days: int, first: str
) -> None:
    found = compiled(tmp_path, more=f"declared: [{{element: consumed, value: 12, period: {period}, line: press}}]")
    (one,) = found.declared
    assert (one.value, one.end - one.start, one.line, one.machine) == (12.0, days * DAY, "press", "")
    begin = compiled(tmp_path, more=f"declared: [{{element: consumed, value: 12, period: {first}}}]").declared[0].start
    assert one.start == begin


def test_declared_times_are_written_with_their_unit_and_are_seconds_then(tmp_path: Path) -> None:
    more = "declared: [{element: apwt, value: 1520 h, period: 2026-10, note: time sheets}]"
    (one,) = compiled(tmp_path, more=more).declared
    assert (one.value, one.note) == (1520 * 3600, "time sheets")
    assert one.end - one.start == 31 * DAY + DAY // 24  # summer time ends


def test_a_serial_line_takes_the_run_times_of_its_constraint_and_all_machines_that_count(tmp_path: Path) -> None:
    found = compiled(tmp_path, rule="rule: {kind: serial, constraint: mill}")
    ideal = {"X": 30_000_000_000}
    untold = {"unjudged": ("mill",), "scrap_unknown": ("mill",), "rework_unknown": ("saw", "mill")}
    assert found.line_rules == (
        LineRule("press", LineKind.SERIAL, "mill", ("saw", "mill"), ideal, 25_000_000_000, untold),
    )


def test_a_constraint_line_needs_no_more_than_its_constraint(tmp_path: Path) -> None:
    found = compiled(tmp_path, rule="rule: {kind: constraint, constraint: saw}")
    assert found.line_rules == (LineRule("press", LineKind.CONSTRAINT, "saw"),)
    assert compiled(tmp_path, rule="rule: {kind: sum}").line_rules == ()


def test_a_serial_line_that_can_have_no_oee_is_warned_of(tmp_path: Path) -> None:
    """The last machine does not tell the product, and the constraint has run times by product alone."""
    rule = "rule: {kind: serial, constraint: saw}"
    told = [warning for warning in compiled(tmp_path, rule=rule, mill="").warnings if "line `press`" in warning]
    expected = "line `press`: `mill` does not tell the product and `saw` has no `default_ideal_cycle_time`: "
    assert told == [f"{expected}effectiveness and OEE of the line cannot be had"]
    assert not [warning for warning in compiled(tmp_path, rule=rule).warnings if "line `press`" in warning]


def test_what_a_machine_can_give_is_told_by_its_signals_declarations_and_line(tmp_path: Path) -> None:
    found = derivations(
        compiled(
            tmp_path,
            rule="rule: {kind: serial, constraint: mill}",
            more="declared: [{element: epc, value: 9000, period: 2026-09, machine: mill}]",
        )
    )
    can = {machine: {one.kpi.id for one in of if one.derivable} for machine, of in found.items()}
    assert {"oee", "quality_ratio", "fall_off_ratio"} <= can["saw"]
    assert "equipment_load_ratio" in can["mill"] - can["saw"]
    assert "quality_ratio" not in can["mill"]
    oee = next(one for one in found["mill"] if one.kpi.id == "oee")
    assert oee.caveats == ("without a count of `good`, or of `total` and `scrap`",), "every piece is taken as good"


@pytest.mark.parametrize("name", ["line", "time", "provisional"])
def test_a_kpi_cannot_have_a_name_that_boards_and_exports_use_for_something_else(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=f"`{name}` is the name of something else in boards and exports"):
        compiled(tmp_path, more=f"kpis: {{{name}: {{name: x, formula: gq / apt}}}}")
