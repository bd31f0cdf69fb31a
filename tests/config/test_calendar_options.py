"""Calendars of the file: what a plant, a line and a machine say, and what becomes of it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from config import CompiledPlant, load_and_compile
from kpi.calendar import planned_times
from kpi.plant import Machine

BERLIN = ZoneInfo("Europe/Berlin")
EARLY = '{name: early, start: "06:00", end: "14:00"}'
LATE = '{name: late, start: "14:00", end: "22:00"}'
COUNT = 'connection: plc, counts: {good: {node: "ns=2;s=A"}}'


def compiled(folder: Path, *, plant: str = "", line: str = "", machine: str = "") -> CompiledPlant:
    """A plant of one machine, each level with its `calendar:` options where they are given."""
    path = folder / "plant.yaml"
    own = f", calendar: {{{machine}}}" if machine else ""
    path.write_text(
        "plant: {site: north, time_zone: Europe/Berlin}\n"
        'connections: {plc: {type: opcua, endpoint: "opc.tcp://10.0.0.1:4840"}}\n'
        + (f"calendar: {{{plant}}}\n" if plant else "")
        + "lines:\n  - name: l\n"
        + (f"    calendar: {{{line}}}\n" if line else "")
        + f"    machines: [{{id: a, {COUNT}{own}}}]\n",
        encoding="utf-8",
    )
    return load_and_compile(path, environment={})


def machine_of(folder: Path, *, plant: str = "", line: str = "", machine: str = "") -> Machine:
    (made,) = compiled(folder, plant=plant, line=line, machine=machine).plant.machines
    return made


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=BERLIN).astimezone(UTC).timestamp()) * 1_000_000_000


def busy_hours(machine: Machine, day: str) -> float:
    """Planned busy time of a day by the plant's wall clock."""
    start, end = at(f"{day} 00:00"), at(f"{day} 00:00") + 24 * 3_600_000_000_000
    plan = planned_times(machine.calendar, start, end)
    ends = [*plan.edge[1:].tolist(), end]
    spans = zip(plan.edge.tolist(), ends, plan.busy.tolist(), strict=True)
    return float(sum(end - start for start, end, busy in spans if busy)) / 3.6e12


def test_a_date_can_have_shifts_of_its_own(tmp_path: Path) -> None:
    """A Thursday with one shift, a Saturday that is worked, a holiday that is worked, a Friday without work."""
    week = "days: [mon, tue, wed, thu, fri]"
    early, late = EARLY.replace("}", f", {week}}}"), LATE.replace("}", f", {week}}}")
    exceptions = "{2026-12-24: [early], 2026-12-19: [late, early], 2026-12-25: [early], 2026-12-18: []}"
    machine = machine_of(tmp_path, plant=f"shifts: [{early}, {late}], holidays: [2026-12-25], exceptions: {exceptions}")
    days = ["2026-12-17", "2026-12-18", "2026-12-19", "2026-12-20", "2026-12-24", "2026-12-25"]
    assert [busy_hours(machine, day) for day in days] == [16, 0, 16, 0, 8, 8]


def test_a_shift_without_days_starts_only_by_exception(tmp_path: Path) -> None:
    extra = '{name: extra, start: "06:00", end: "10:00", days: []}'
    machine = machine_of(tmp_path, plant=f"shifts: [{LATE}, {extra}], exceptions: {{2026-12-19: [extra, late]}}")
    assert [busy_hours(machine, day) for day in ("2026-12-18", "2026-12-19")] == [8, 12]
    unused = compiled(tmp_path, plant=f"shifts: [{LATE}, {extra}]")
    assert "shift `extra` has no days and is in no exception: it never starts" in unused.warnings


def test_planned_stops_are_of_the_plants_wall_clock_and_add_up_over_the_levels(tmp_path: Path) -> None:
    def stop(start: str, end: str) -> str:
        return f'{{start: "{start}", end: "{end}"}}'

    machine = machine_of(
        tmp_path,
        plant=f"shifts: [{EARLY}], planned_stops: [{stop('2026-07-01 06:00', '2026-07-01 07:00')}]",
        line=f"planned_stops: [{stop('2026-07-01 08:00', '2026-07-01 10:00')}]",
        machine=f"planned_stops: [{stop('2026-01-15 13:00', '2026-01-16 07:00')}]",
    )
    assert machine.calendar.planned_stops[0] == (at("2026-01-15 13:00"), at("2026-01-16 07:00"))
    days = ["2026-07-01", "2026-07-02", "2026-01-15", "2026-01-16"]
    assert [busy_hours(machine, day) for day in days] == [5, 8, 7, 7]


def test_a_planned_stop_is_maintenance_where_it_says_so_on_any_level(tmp_path: Path) -> None:
    machine = machine_of(
        tmp_path,
        plant=f'shifts: [{EARLY}], planned_stops: [{{start: "2026-07-01 06:00", end: "2026-07-01 07:00"}}]',
        line='planned_stops: [{start: "2026-07-01 08:00", end: "2026-07-01 10:00", kind: maintenance}]',
        machine='planned_stops: [{start: "2026-07-02 08:00", end: "2026-07-02 10:00", kind: stop}]',
    )
    assert len(machine.calendar.planned_stops) == 3
    assert machine.calendar.maintenance == ((at("2026-07-01 08:00"), at("2026-07-01 10:00")),)


def test_hours_that_change_from_a_date_on_keep_their_name(tmp_path: Path) -> None:
    old = '{name: early, start: "06:00", end: "14:00", valid_until: 2026-06-30}'
    new = '{name: early, start: "05:00", end: "15:00", valid_from: 2026-07-01}'
    machine = machine_of(tmp_path, plant=f"shifts: [{old}, {new}], exceptions: {{2026-07-04: [early]}}")
    assert [busy_hours(machine, day) for day in ("2026-06-30", "2026-07-01", "2026-07-04")] == [8, 10, 10]


def test_what_a_calendar_does_not_say_is_as_above(tmp_path: Path) -> None:
    machine = machine_of(
        tmp_path,
        plant=f"shifts: [{EARLY}], holidays: [2026-10-03], exceptions: {{2026-10-10: []}}, overtime: apart",
        line="holidays: []",
        machine="exceptions: {2026-10-11: []}",
    )
    calendar = machine.calendar
    assert [shift.name for shift in calendar.shifts] == ["early"]
    assert calendar.holidays == frozenset()
    assert calendar.exceptions == ((date(2026, 10, 10), ()), (date(2026, 10, 11), ()))
    assert machine.overtime_apart


def test_exceptions_belong_to_the_shifts_beside_them(tmp_path: Path) -> None:
    """The plant's exception names a shift that the line does not have."""
    machine = machine_of(
        tmp_path, plant=f"shifts: [{EARLY}], exceptions: {{2026-10-10: [early]}}", line=f"shifts: [{LATE}]"
    )
    assert machine.calendar.exceptions == ()


@pytest.mark.parametrize(
    ("plant", "line", "machine", "apart"),
    [
        ("", "", "", False),
        ("overtime: apart", "", "", True),
        ("overtime: apart", "overtime: extends", "", False),
        ("overtime: apart", "overtime: extends", "overtime: apart", True),
        ("", "overtime: apart", "", True),
    ],
)
def test_overtime_is_decided_by_the_nearest(
    tmp_path: Path, plant: str, line: str, machine: str, *, apart: bool
) -> None:
    assert machine_of(tmp_path, plant=plant, line=line, machine=machine).overtime_apart is apart


def test_a_calendar_without_shifts_is_around_the_clock_but_for_what_it_says(tmp_path: Path) -> None:
    machine = machine_of(tmp_path, plant="holidays: [2026-10-03]")
    assert [busy_hours(machine, day) for day in ("2026-10-02", "2026-10-03")] == [24, 0]


def test_shifts_may_overlap_where_they_are_valid_at_different_times(tmp_path: Path) -> None:
    """Also when the night of the old plan would meet the new plan's first morning, but is not worked any more."""
    night = '{name: night, start: "22:00", end: "06:00", days: [mon], valid_until: 2026-06-29}'
    day = '{name: day, start: "05:00", end: "13:00", days: [tue], valid_from: 2026-07-01}'
    assert len(machine_of(tmp_path, plant=f"shifts: [{night}, {day}]").calendar.shifts) == 2


def test_the_end_of_all_shifts_is_said(tmp_path: Path) -> None:
    plant = compiled(tmp_path, plant='shifts: [{name: a, start: "06:00", end: "14:00", valid_until: 2026-06-30}]')
    assert "no shift is valid after 2026-06-30: nothing is planned from then on" in plant.warnings


def test_a_stop_in_the_hour_that_comes_twice_begins_with_the_earlier(tmp_path: Path) -> None:
    machine = machine_of(tmp_path, plant='planned_stops: [{start: "2026-10-25 02:30", end: "2026-10-25 03:00"}]')
    ((start, end),) = machine.calendar.planned_stops
    assert (end - start) / 3.6e12 == 1.5
