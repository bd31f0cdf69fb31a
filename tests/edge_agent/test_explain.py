"""`edge-agent explain`: the journal's number, and an auditor who gets the same from what is printed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType

from config.compiler import compile_plant
from config.loader import load
from connectors import SampleBatch, TextCodes
from edge_agent.explain import Question, UnanswerableError, explain, shown
from edge_agent.export import exported
from edge_agent.journal import JournalReader
from edge_agent.measured_export import read_measured
from kpi.elements import ELEMENT_IDS, MINUTE_NS
from kpi.formulas import KPI_IDS
from tests.edge_agent import by_hand
from tests.edge_agent.scripted import NOON, SECOND, Bench, Clock, ScriptedConnector, run, tick
from tests.edge_agent.test_cli import called

_YAML = """
plant: {{enterprise: Test, site: works, time_zone: Europe/Berlin}}
agent: {{journal: {journal}, tick: 20 ms, close_after: 5 s, correction_horizon: {horizon}, future_tolerance: 1 min}}
calendar:
  shifts: [{{name: early, start: "06:00", end: "06:40", breaks: [{{start: "06:10", end: "06:15"}}]}}]
  planned_stops:
    - {{start: "2026-10-01 06:30", end: "2026-10-01 06:33"}}
    - {{start: "2026-10-01 06:38", end: "2026-10-01 06:42", kind: maintenance}}
connections:
  floor: {{type: mqtt, host: 127.0.0.1, port: 1, subscribe: ["#"], link_holds: 30 s}}
products: {{A: {{ideal_cycle_time: 10 s}}, B: {{ideal_cycle_time: 21.5 s}}, C: {{}}}}
reasons:
  "12": {{name: Tool change, group: [Technical], loss: planned_stop, planned: true}}
factors:
  own: [{{carrier: electricity, kgce: 0.1229, kg_co2e: 0.5306, source: of a test}}]
kpis:
  waste: {{name: Waste, formula: "1 - oee"}}
declared:
  - {{element: apat, value: 30 h, period: 2026-10-01, machine: m1, note: time sheets}}
profiles:
  station:
    connection: floor
    topic: "{{machine}}"
    stale_after: never
    state:
      signals: {{status: {{path: s}}}}
      rules:
        - {{when: {{status: RUN}}, state: producing}}
        - {{when: {{status: [FAULT, JAM]}}, state: breakdown}}
        - {{when: {{status: WAIT}}, state: starved}}
    counts: {{good: {{path: g, rolls_over_at: 1000}}, scrap: {{path: x}}}}
    product: {{path: p}}
lines:
  - name: one
    area: hall
    machines:
      - id: m1
        profile: station
        minor_stop: 60 s
        stop_reason: {{path: why}}
        energy: {{path: e, unit: kWh, rolls_over_at: 100}}
        measured:
          bore: {{path: b, unit: mm, limits: {{lower: 49.9, upper: 50.1, nominal: 50.0}}}}
          torque: {{path: q, unit: Nm, limits: {{lower: 20}}}}
      - id: m2
        profile: station
        calendar: {{overtime: apart}}
        power: {{path: w, unit: W}}
        counts: {{total: {{path: t}}}}
        measured: {{temperature: {{path: c, unit: °C}}, width: {{path: v, limits: {{upper: 3}}}}}}
  - name: two
    area: hall
    rule: {{kind: serial, constraint: s1}}
    machines:
      - {{id: s1, profile: station, default_ideal_cycle_time: 8.0000005 s}}
      - {{id: s2, profile: station, default_ideal_cycle_time: 5 s}}
"""
MINUTES = 60
WINDOWS = ("hour", "shift", "day")


class Works(Bench):
    """Four machines on two lines, an hour from 06:00 on; the shift ends at 06:40."""

    def __init__(self, folder: Path, horizon: str) -> None:
        self.path = folder / "plant.journal"
        self.yaml = folder / "plant.yaml"
        self.yaml.write_text(_YAML.format(journal=self.path, horizon=horizon))
        self.config = load(self.yaml)
        self.compiled = compile_plant(self.config, TextCodes())
        self.clock = Clock()
        self.tags = {tag.name: i for i, tag in enumerate(self.compiled.tags.tags)}

    def reader(self) -> JournalReader:
        return JournalReader(self.path)

    def explained(self, kpi: str, machine: str = "", **asked: Any) -> dict[str, Any]:
        """The answer of a reader who has the plant file, as JSON brings it over."""
        question = Question(kpi, "machine", machine, **asked) if machine else Question(kpi, **asked)
        with self.reader() as reader:
            compiled = compile_plant(self.config, TextCodes(reader.texts()))
            facts: dict[str, Any] = json.loads(json.dumps(explain(reader, compiled, question)))
        return facts


def an_hour(works: Works, texts: TextCodes) -> SampleBatch:
    """What the machines say in an hour: stops, gaps, resets, rollovers, products, and bad luck."""
    random = np.random.default_rng(22400)
    code = texts.code
    rows = [("floor.link", float(at), 1.0) for at in range(0, MINUTES * 60, 10) if not 1800 <= at < 1990]
    for machine in ("m1", "m2", "s1", "s2"):
        at, good, scrap = 0.0, 900.0, 40.0
        while at < MINUTES * 60:
            status = str(random.choice(["RUN", "RUN", "RUN", "RUN", "WAIT", "FAULT", "JAM", "ODD"]))
            rows.append((f"{machine}.state.status", at, float(code(status))))
            rows.append((f"{machine}.good", at + 1.5, good % 1000))
            rows.append((f"{machine}.scrap", at + 1.75, scrap))
            good += float(random.integers(0, 9))
            scrap += float(random.random() < 0.2)
            scrap = scrap if random.random() < 0.98 else 0.0
            at += float(random.integers(5, 90))
        rows += [(f"{machine}.product", 60.0 * n, float(code("ABC"[n % 3]))) for n in range(0, 48, 7)]
    rows += [("m1.energy", 97.0 * n, (92.0 + 0.75 * n) % 100) for n in range(37)]
    rows += [("m1.stop_reason", 700.0, float(code("12"))), ("m1.stop_reason", 1000.0, float(code("?")))]
    rows += [("m2.power", 41.0 * n, float(random.integers(0, 9000))) for n in range(80) if not 20 <= n < 30]
    rows += [("m2.total", 33.0 * n, float(5 * n)) for n in range(100)]
    rows += [("m2.total", 2000.0, 3.0)]
    rows += [("m1.bore", 7.0 + 11.0 * n, 50.0 + 0.02 * float(random.standard_normal())) for n in range(325)]
    rows += [("m1.torque", 120.0 * n, 22.0 + n % 5 / 10) for n in range(25)]
    rows += [("m2.width", 5.0, 2.5)]
    heard = [row for row in rows if not (row[0] == "m1.good" and 1700 <= row[1] < 2050)]
    heard = sorted(heard, key=lambda row: row[1])
    doubtful = [bool(row[0] in {"m1.bore", "m1.good"} and row[1] > 3000 and random.random() < 0.2) for row in heard]
    return replace(works.samples(*heard), quality=np.where(doubtful, 2, 0).astype(np.uint8))


def worked(folder: Path, horizon: str) -> Works:
    works = Works(folder, horizon)
    floor = ScriptedConnector()
    agent = works.agent(floor, refresh_ns=1 << 62)
    hour = an_hour(works, agent.texts)
    late = np.random.default_rng(5).random(len(hour)) < 0.02

    async def script() -> None:
        held = hour.where(late)
        for n in range(12):
            begin, end = NOON + n * 300 * SECOND, NOON + (n + 1) * 300 * SECOND
            floor.put(hour.where(~late & (hour.time >= begin) & (hour.time < end)))
            was = held.where((held.time >= begin - 300 * SECOND) & (held.time < begin))
            floor.put(was)
            works.clock.advance(300)
            agent.pipeline._status_at = 0
            await tick(agent)

    run(agent, script)
    return works


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory) -> Works:
    """All samples can still be corrected, so all are held: the newest in the log, the others in the archive."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge_agent.agent.ENGINE_SAMPLES", 300)
        works = worked(tmp_path_factory.mktemp("works"), "2 h")
    with works.reader() as reader:
        assert len(reader.archive([])) > 2
    return works


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Works:
    """Only the samples of the last ten minutes are held."""
    return worked(tmp_path_factory.mktemp("forgetful"), "10 min")


def journal_sums(works: Works, machine: str, facts: dict[str, Any]) -> dict[str, int]:
    """What the journal's rows add up to, read straight from it."""
    window = facts["window"]
    with works.reader() as reader:
        rows = reader.elements("minute", window["start"], window["end"], [machine])
    if window["shift"]:
        rows = rows.filter(rows["shift"] == window["shift"])
    return {element: int(rows[element].sum()) for element in ELEMENT_IDS}


@pytest.mark.parametrize("machine", ["m1", "m2", "s1"])
@pytest.mark.parametrize(
    "kpi", ["oee", "availability", "co2e_per_piece", "idle_energy_share", "mtbf", "first_pass_yield", "waste"]
)
def test_a_number_can_be_computed_again_from_the_json_alone(works: Works, machine: str, kpi: str) -> None:
    """Every element from its intervals, readings and rows, and the KPI from those: the journal's integers."""
    for window in WINDOWS:
        facts = works.explained(kpi, machine, window=window, at=NOON)
        assert_computed_again(works, facts, machine)


@pytest.mark.parametrize("kpi", ["oee", "coal_per_piece", "nee"])
def test_where_samples_are_gone_rows_and_states_still_add_up(forgetful: Works, kpi: str) -> None:
    facts = forgetful.explained(kpi, "m1", window="hour", at=NOON)
    pedigree = facts["pedigrees"][0]
    assert NOON < pedigree["samples"]["from"] < NOON + 3600 * SECOND
    assert "agent.correction_horizon" in pedigree["samples"]["why_not"]
    assert_computed_again(forgetful, facts, "m1")


def assert_computed_again(works: Works, facts: dict[str, Any], machine: str) -> None:
    pedigree = facts["pedigrees"][0]
    sums = by_hand.elements(pedigree, facts["window"]["start"])
    expected = journal_sums(works, machine, facts)
    assert sums == {element: expected[element] for element in sums}
    of_formula: dict[str, int | None] = {one["id"]: one["amount"] for one in facts["elements"]}
    assert {name: sums[name] for name in of_formula if name in sums} == {
        name: amount for name, amount in of_formula.items() if name in sums
    }
    again = by_hand.value(facts, of_formula)
    if facts["value"] is None:
        assert again is None
        assert facts["absent_because"]
    else:
        assert again == facts["value"]
    assert pedigree["check"]["agrees"], pedigree["check"]["differences"][:3]


@pytest.mark.parametrize("window", WINDOWS)
def test_the_number_is_the_exported_one_at_every_level(works: Works, window: Any) -> None:
    with works.reader() as reader:
        rows = exported(reader, window, NOON - 24 * 3600 * SECOND, NOON + 3600 * SECOND)
    places = {"machine": "m2", "line": "one", "site": "works"}
    for level, place in places.items():
        row = rows.filter(rows["level"] == level, rows[level] == place).row(0, named=True)
        for kpi in ("availability", "oee", "quality_ratio", "energy_per_piece"):
            asked = Question(kpi, level, "" if level == "site" else place, window=window, at=NOON)  # type: ignore[arg-type]
            with works.reader() as reader:
                value = explain(reader, None, asked)["value"]
            assert value == (None if row[kpi] is None else pytest.approx(row[kpi], rel=1e-14))


def test_every_kpi_can_be_asked_for(works: Works) -> None:
    for kpi in KPI_IDS:
        facts = works.explained(kpi, level="line", place="one", start=NOON, end=NOON + 5 * MINUTE_NS)
        assert (facts["value"] is None) == bool(facts["absent_because"])


def test_a_line_is_its_rule_over_its_machines_sums(works: Works) -> None:
    """Pieces in at the first, good ones out of the last, planned busy time of the constraint."""
    facts = works.explained("oee", level="line", place="two", window="hour", at=NOON, deep=True)
    assert facts["lines"][0]["rule"] == "serial"
    assert facts["lines"][0]["constraint"] == "s1"
    amount = {one["id"]: one["amount"] for one in facts["elements"]}
    of = {one["machine"]: {e["id"]: e["amount"] for e in one["elements"]} for one in facts["machines"]}
    assert amount["pbt"] == of["s1"]["pbt"]
    per_unit = {one["id"]: one["per_unit"] for one in facts["elements"]}
    exact = sum(one["out"] * one["ideal_ns"] for one in facts["lines"][0]["earned"])
    assert exact % 1_000_000_000_000, "the constraint's run time is no whole number of milliseconds"
    assert amount["ideal_gq"] * 10**15 == exact * per_unit["ideal_gq"]
    assert sum(one["out"] for one in facts["lines"][0]["earned"]) == of["s2"]["gq"]
    assert [one["machine"] for one in facts["pedigrees"]] == ["s1", "s2"]
    assert by_hand.value(facts, amount) == facts["value"]


def test_what_a_serial_line_adds_can_be_computed_again_from_the_json_alone(works: Works) -> None:
    """What went into the line, of each of its machines; the product of its machines' yields, of the line."""
    facts = works.explained("fall_off_ratio", "s2", window="hour", at=NOON)
    amount = {one["id"]: one["amount"] for one in facts["elements"]}
    begins = facts["pedigrees"][0]["line_begins"]
    assert begins == {"machine": "s1", "pq": amount["pq_first"]}
    assert begins["pq"] == journal_sums(works, "s1", facts)["pq"]
    assert works.explained("fall_off_ratio", "m1", window="hour", at=NOON)["pedigrees"][0]["line_begins"] is None
    line = works.explained("rolled_throughput_yield", level="line", place="two", window="hour", at=NOON)
    of = {one["machine"]: {e["id"]: e["amount"] for e in one["elements"]} for one in line["machines"]}
    yields = [(of[step]["pq"] - of[step]["sq"] - of[step]["rq"]) / of[step]["pq"] for step in line["lines"][0]["steps"]]
    assert line["value"] == pytest.approx(yields[0] * yields[1], rel=1e-12)


def test_a_line_and_the_site_say_which_revision_their_rows_are_of(works: Works) -> None:
    of_machines = [works.explained("oee", machine, window="hour", at=NOON)["revision"] for machine in ("s1", "s2")]
    of_line = works.explained("oee", level="line", place="two", window="hour", at=NOON)["revision"]
    assert of_line["newest"] == max(one["newest"] for one in of_machines) > 0
    assert of_line["rows"] == sum(one["rows"] for one in of_machines)
    assert of_line["corrected_rows"] == sum(one["corrected_rows"] for one in of_machines)


def test_the_site_is_the_sum_of_its_lines(works: Works) -> None:
    facts = works.explained("availability", level="site", window="day", at=NOON)
    assert facts["pedigrees"] == []
    lines = [{one["id"]: one["amount"] for one in line["elements"]} for line in facts["lines"]]
    for one in facts["elements"]:
        assert one["amount"] == sum(line[one["id"]] for line in lines)


def test_every_second_says_which_signal_under_which_rule(works: Works) -> None:
    facts = works.explained("availability", "m1", window="hour", at=NOON)
    spans = facts["pedigrees"][0]["intervals"]
    producing = next(span for span in spans if span["state"] == "producing")
    origin = producing["origin"]
    assert producing["because"] == "`status` = RUN: producing"
    assert origin["rule"] == {"number": 1, "when": {"status": ["RUN"]}, "state": "producing"}
    assert [(one["tag"], one["value"]) for one in origin["signals"]] == [("m1.state.status", "RUN")]
    assert origin["signals"][0]["at"] <= producing["start"]
    short = next(span for span in spans if "shorter than 60 s" in span["because"] and span["state"] == "stopped")
    assert short["origin"]["said"] == "breakdown"
    reasoned = next(span for span in spans if "stop reason `12`" in span["because"])
    assert reasoned["reason"] == "12"
    assert reasoned["reason_means"] == {
        "name": "Tool change",
        "group": ["Technical"],
        "planned": True,
        "state": "planned_stop",
    }


def test_what_is_left_out_has_a_cause_for_every_second(works: Works) -> None:
    """The break, the planned stop, planned maintenance in the shift and after it, time outside the shift, and unknown
    time by what was not known."""
    facts = works.explained("oee", "m1", window="hour", at=NOON)
    pedigree = facts["pedigrees"][0]
    causes = {one["because"]: one["ns"] for one in pedigree["left_out"]}
    assert {"break", "planned stop", "outside any shift"} <= causes.keys()
    assert {"planned maintenance", "planned maintenance outside any shift"} <= causes.keys()
    silent = "`status`: no sign of life of the connection for too long"
    assert any(silent in one["because"] for one in pedigree["unknown"])
    assert any("no rule covers that" in one["because"] for one in pedigree["unknown"])
    sums = by_hand.elements(pedigree, NOON)
    assert sum(one["ns"] for one in pedigree["unknown"]) == sums["unknown"]
    in_formula = sum(s["ns"] for s in pedigree["intervals"] if "pbt" in s["counts_in"]) - sums["unknown"]
    assert in_formula + sum(causes.values()) == facts["window"]["settled_to"] - NOON


def test_each_decision_about_a_counter_is_told_with_the_readings_around_it(works: Works) -> None:
    facts = works.explained("quality_ratio", "m1", window="hour", at=NOON)
    good = next(one for one in facts["pedigrees"][0]["counts"] if one["quantity"] == "good")
    assert good["readings"][0]["verdict"] == "base"
    rollover = next(one for one in good["readings"] if one["verdict"] == "rollover")
    assert rollover["added"] == round((rollover["value"] + 1000 - rollover["before"]) * 1e6)
    after_gap = [one for one in good["readings"] if one["unknown_before_ns"] > 100 * SECOND]
    assert after_gap, "the connection was silent for three minutes"
    stray = works.explained("scrap_ratio", "m2", window="hour", at=NOON)["pedigrees"][0]["counts"]
    judged = [one["verdict"] for count in stray for one in count["readings"]]
    assert judged.index("excursion") == judged.index("fall") + 1
    reset = works.explained("quality_ratio", "s1", window="hour", at=NOON)["pedigrees"]
    assert any(one["verdict"] == "reset" for part in reset for count in part["counts"] for one in count["readings"])


def test_overtime_that_is_counted_apart_is_told_apart(works: Works) -> None:
    facts = works.explained("oee", "m2", window="hour", at=NOON)
    pedigree = facts["pedigrees"][0]
    apart = [one for one in pedigree["left_out"] if one["category"] == "overtime"]
    assert [one["because"] for one in apart] == ["work outside planned busy time, counted apart"]
    assert any(one["overtime"] for count in pedigree["counts"] for one in count["readings"])


INDICES = ("cm", "cmk", "cp", "cpk", "pp", "ppk")


@pytest.mark.parametrize("of_works", ["works", "forgetful"])
@pytest.mark.parametrize(
    ("index", "characteristic"), [*((index, "bore") for index in INDICES), ("cpk", "torque"), ("ppk", "torque")]
)
def test_a_capability_index_can_be_computed_again_from_the_json_alone(
    request: pytest.FixtureRequest, of_works: str, index: str, characteristic: str
) -> None:
    """Values → statistics of a minute, those or the journal's rows → sums → deviations → the index. A bore comes every
    11 s, so minutes are subgroups; a torque every two minutes, so moving ranges count."""
    held: Works = request.getfixturevalue(of_works)
    for window in ("minute", *WINDOWS) if characteristic == "bore" else WINDOWS:
        facts = held.explained(index, "m1", window=window, at=NOON + 1000 * SECOND, characteristic=characteristic)
        assert by_hand.statistics(facts) == pytest.approx(facts["statistics"], rel=1e-9)
        found = by_hand.capability(index, facts, facts["statistics"])
        deviations = facts["deviations"]
        assert deviations["within_of"] == ("subgroups" if characteristic == "bore" else "moving_ranges")
        assert found == pytest.approx(
            {
                "mean": deviations["mean"],
                "s": deviations["deviation"],
                "within": deviations["deviation_within"],
                "value": facts["value"],
            },
            rel=1e-9,
        )
        check = facts["pedigrees"][0]["check"]
        assert check["agrees"] is not False, check["differences"][:3]


@pytest.mark.parametrize("window", WINDOWS)
def test_a_capability_index_is_the_exported_one(works: Works, window: Any) -> None:
    with works.reader() as reader:
        rows = read_measured(reader, window, NOON - 24 * 3600 * SECOND, NOON + 3600 * SECOND).rows
    for machine, characteristic in (("m1", "bore"), ("m1", "torque"), ("m2", "width")):
        row = rows.filter(rows["machine"] == machine, rows["characteristic"] == characteristic).row(0, named=True)
        for index in INDICES:
            facts = works.explained(index, machine, window=window, at=NOON, characteristic=characteristic)
            assert facts["value"] == (None if row[index] is None else pytest.approx(row[index], rel=1e-9))
            assert (facts["value"] is None) == bool(facts["absent_because"])
            assert facts["statistics"]["n"] == row["n"]


def test_readings_of_a_bad_quality_are_told_and_count_as_nothing(works: Works) -> None:
    window = {"start": NOON + 3300 * SECOND, "end": NOON + 3600 * SECOND}
    pedigree = works.explained("cpk", "m1", characteristic="bore", **window)["pedigrees"][0]
    refused = pedigree["refused"]
    assert refused["from"] <= window["start"]
    assert {(one["tag"], one["because"]) for one in refused["readings"]} == {("m1.bore", "bad quality")}
    counted = {at for group in pedigree["subgroups"] for at, _ in group["values"]}
    assert not counted & {one["at"] for one in refused["readings"]}
    of_counter = works.explained("oee", "m1", **window)["pedigrees"][0]
    refused = {one["at"] for one in of_counter["refused"]["readings"] if one["tag"] == "m1.good"}
    assert refused
    assert not refused & {one["at"] for count in of_counter["counts"] for one in count["readings"]}


@pytest.mark.parametrize(
    ("index", "machine", "characteristic", "because"),
    [
        ("cp", "m1", "torque", "no upper limit"),
        ("cpk", "m2", "width", "one good value only"),
        ("cp", "m2", "width", "no lower limit"),
    ],
)
def test_a_capability_index_that_cannot_be_had_says_why(
    works: Works, index: str, machine: str, characteristic: str, because: str
) -> None:
    facts = works.explained(index, machine, window="hour", at=NOON, characteristic=characteristic)
    assert facts["value"] is None
    assert because in facts["absent_because"]


def test_the_only_characteristic_need_not_be_named(works: Works) -> None:
    assert works.explained("ppk", "m2", window="hour", at=NOON)["characteristic"]["name"] == "width"


def test_capability_without_the_plant_file_is_that_of_the_journals_limits(works: Works) -> None:
    with works.reader() as reader:
        facts = explain(reader, None, Question("cpk", "machine", "m1", "hour", NOON, characteristic="bore"))
    assert facts["value"] == works.explained("cpk", "m1", window="hour", at=NOON, characteristic="bore")["value"]
    assert facts["pedigrees"][0]["subgroups"] == []
    assert "no plant file" in facts["pedigrees"][0]["samples"]["why_not"]


def test_without_the_plant_file_the_journal_says_what_it_has(works: Works) -> None:
    with works.reader() as reader:
        facts = explain(reader, None, Question("oee", "machine", "m1", "hour", NOON))
    assert facts["value"] == works.explained("oee", "m1", window="hour", at=NOON)["value"]
    pedigree = facts["pedigrees"][0]
    assert "no plant file" in pedigree["samples"]["why_not"]
    assert pedigree["counts"] == []
    assert {span["origin"] for span in pedigree["intervals"]} == {None}
    spans = sum(span["ns"] for span in pedigree["intervals"] if "apt" in span["counts_in"])
    assert spans == journal_sums(works, "m1", facts)["apt"]


def test_rows_of_another_configuration_are_found_out(works: Works, tmp_path: Path) -> None:
    """The plant file says something else than the agent ran with: the answer does not pretend."""
    other = Works(tmp_path, "2 h")
    other.yaml.write_text(other.yaml.read_text().replace("status: WAIT}, state: starved", "status: WAIT}, state: idle"))
    with works.reader() as reader:
        compiled = compile_plant(load(other.yaml), TextCodes(reader.texts()))
        facts = explain(reader, compiled, Question("availability", "machine", "m1", "hour", NOON))
    check = facts["pedigrees"][0]["check"]
    assert not check["agrees"]
    assert {one["element"] for one in check["differences"]} >= {"starved", "adot"}
    assert facts["configuration"]["journal"] != facts["configuration"]["plant_file"]
    assert "has been changed" in facts["configuration"]["notes"][0]


def test_time_without_rows_is_told(works: Works) -> None:
    facts = works.explained("availability", "m1", window="day", at=NOON)
    pedigree = facts["pedigrees"][0]
    assert pedigree["not_recorded_ns"] == NOON - facts["window"]["start"]
    assert facts["window"]["provisional"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Question("availabilty", "machine", "m1"), "there is no KPI 'availabilty', did you mean `availability`"),
        (Question("?", "machine", "m1"), "there is no KPI '.'; known are actual_to_planned_scrap"),
        (Question("oee", "machine", "m9"), "there is no machine 'm9'; known are m1, m2, s1, s2"),
        (Question("oee", "line", "x"), "known are one, two"),
        (Question("oee", "machine", "m1", "shift", NOON + 3000 * SECOND), "no shift is planned"),
        (Question("oee", "machine", "m1", start=NOON, end=NOON + 90 * SECOND), "whole minutes"),
        (Question("oee", "machine", "m1", start=NOON, end=NOON), "later than the start"),
        (
            Question("oee", "machine", "m1", "day", NOON - 72 * 3600 * SECOND),
            r"has nothing of m1 in that time; it holds 2026-10-01 06:00 – 2026-10-01 07:00 \(Europe/Berlin\)$",
        ),
        (
            Question("cpk", "machine", "m1", "day", NOON - 72 * 3600 * SECOND, characteristic="bore"),
            "has nothing of m1",
        ),
        (Question("oee", "machine", "m1", characteristic="bore"), "oee is not of a characteristic"),
        (Question("cpk", "machine", "m1"), "several characteristics: say --characteristic, one of bore, torque"),
        (Question("cpk", "machine", "m1", characteristic="bo"), "no characteristic 'bo' with limits; known are bore"),
        (Question("cpk", "machine", "s1"), "s1 has none"),
        (Question("cpk", "line", "one"), "ask for one, such as --machine m1 --characteristic bore"),
        (Question("cpk", "site"), "values of several machines are not of one process"),
        (Question("cpk", "line", "two"), "none here has a measured value with limits"),
    ],
)
def test_a_question_that_has_no_answer_says_why(works: Works, asked: Question, said: str) -> None:
    with works.reader() as reader, pytest.raises(UnanswerableError, match=said):
        explain(reader, works.compiled, asked)


@pytest.mark.parametrize("width", [50, 80, 160])
@pytest.mark.parametrize("of_works", ["works", "forgetful"])
def test_tables_of_a_capability_index_have_its_limits_values_and_sums(
    request: pytest.FixtureRequest, of_works: str, width: int
) -> None:
    held: Works = request.getfixturevalue(of_works)
    facts = held.explained("cpk", "m1", window="hour", at=NOON, characteristic="bore")
    text = printed(shown(facts, every=True), width)
    assert max(cell_len(line.rstrip()) for line in text.splitlines()) <= width
    words = " ".join(text.split())
    for part in ("LSL 49.9 mm, USL 50.1 mm", f"cpk = {facts['value']:.12g}", "pooled over subgroups", "revision"):
        assert part in words
    assert "give the journal's rows exactly" in words


@pytest.mark.parametrize("width", [50, 80, 160])
def test_the_tables_cut_nothing_off_however_narrow(works: Works, width: int) -> None:
    """What does not fit is folded; every figure is still there."""
    facts = works.explained("co2e_per_piece", "m1", window="hour", at=NOON)
    text = printed(shown(facts, every=True), width)
    assert "…" not in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert f"{facts['value']:.12g}" in text
    assert "give the journal's rows exactly" in " ".join(text.split())


def test_long_lists_end_in_how_to_see_the_rest(works: Works) -> None:
    facts = works.explained("oee", "m1", window="hour", at=NOON)
    more = len(facts["pedigrees"][0]["intervals"]) - 40
    assert f"… and {more} more intervals: --all or --json shows them" in printed(shown(facts), 200)


def test_the_text_of_a_window_longer_than_a_day_says_how_much_single_evidence_it_leaves_out(works: Works) -> None:
    """Sums stay; --deep shows the beginning of each list, and JSON has all of it."""
    facts = works.explained("oee", "m1", window="week", at=NOON)
    intervals = facts["pedigrees"][0]["intervals"]
    text = printed(shown(facts), 200)
    assert f"{len(intervals):,} intervals left out of a window longer than a day: --deep" in text
    assert "stretches left out" in text
    assert "State intervals" not in text
    assert "Time by category" in text
    deep = printed(shown(facts, deep=True), 200)
    assert "State intervals" in deep
    assert "left out of a window" not in deep


def test_a_declared_time_is_told_in_hours_with_the_dates_of_its_period(works: Works) -> None:
    text = printed(shown(works.explained("worker_efficiency", "m1", window="day", at=NOON)), 200)
    assert "declared for m1: apat = 30 h, 2026-10-01 00:00:00 – 2026-10-02 00:00:00 (time sheets)" in text


def test_a_kpi_with_one_name_is_named_once(works: Works) -> None:
    assert printed(shown(works.explained("waste", "m1", window="hour", at=NOON)), 200).startswith("Waste of machine m1")


def test_a_planned_run_time_that_was_changed_since_is_not_shown_as_what_was_earned(
    works: Works, tmp_path: Path
) -> None:
    facts = works.explained("oee", "m1", window="hour", at=NOON)
    assert {one["ideal_agrees"] for one in facts["pedigrees"][0]["earned"]} <= {True, None}
    other = Works(tmp_path, "2 h")
    other.yaml.write_text(other.yaml.read_text().replace("ideal_cycle_time: 10 s", "ideal_cycle_time: 13 s"))
    with works.reader() as reader:
        compiled = compile_plant(load(other.yaml), TextCodes(reader.texts()))
        facts = explain(reader, compiled, Question("oee", "machine", "m1", "hour", NOON))
    changed = [one for one in facts["pedigrees"][0]["earned"] if one["ideal_agrees"] is False]
    assert [one["product"] for one in changed] == ["A"]
    assert changed[0]["ideal_of_rows_ns"] == pytest.approx(10e9)
    words = printed(shown(facts), 250)
    assert "product; changed since, the plant file has 13 s: `edge-agent replay --recompute`" in words


def printed(answer: RenderableType, width: int) -> str:
    out = Console(width=width, color_system=None)
    with out.capture() as capture:
        out.print(answer)
    return capture.get()


def test_the_command_has_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert called("explain", "--help") == 0
    assert "Example: edge-agent explain" in " ".join(capsys.readouterr().out.split())


def test_the_command_prints_tables_or_json(works: Works, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("explain", "availability", works.yaml, "--machine", "m1", "--window", "hour", "--at", "2026-10-01T06:10")
    assert called(*asked) == 0
    assert "apt / (pbt - unknown)" in capsys.readouterr().out
    assert called(*asked, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts == works.explained("availability", "m1", window="hour", at=NOON + 600 * SECOND)
    assert called("explain", "availability", "--journal", works.path, "--site") == 0
    assert "site works" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "one of --machine M, --line L and --site"),
        (["--machine", "m1", "--site"], "one of --machine M, --line L and --site"),
        (["--machine", "m1", "--from", "2026-10-01"], "both --from and --to"),
        (["--machine", "m1", "--at", "noon"], "expected a time such as"),
        (["--machine", "m9"], "there is no machine 'm9'"),
    ],
)
def test_the_command_says_what_is_wrong_with_a_question(
    works: Works, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert called("explain", "oee", works.yaml, *arguments) == 2
    assert said in capsys.readouterr().err
