"""Stop reasons, counters, meters, limits and factors of the file, and what the engine gets of them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import pytest

from config import CompiledPlant, ConfigError, load_and_compile
from config.compiled import Reason
from config.energy_factors import GRIDS, shipped
from config.reasons import LOSSES
from connectors.texts import TextCodes
from kpi.engine import Engine
from kpi.plant import Carrier, Characteristic, Counter, Machine, Quantity, State

HEAD = """
plant: {site: north, time_zone: Asia/Shanghai}
connections:
  plc: {type: opcua, endpoint: "opc.tcp://10.0.0.1:4840"}
  floor: {type: mqtt, host: broker}
"""
MINUTE = 60_000_000_000
START = 1_760_000_040_000_000_000


class Compile(Protocol):
    """Compiles machines of one line, with other parts of the file before them."""

    def __call__(self, *machines: str, before: str = "", texts: TextCodes | None = None) -> CompiledPlant: ...


@pytest.fixture
def compiled(tmp_path: Path) -> Compile:
    def compile_text(*machines: str, before: str = "", texts: TextCodes | None = None) -> CompiledPlant:
        path = tmp_path / "plant.yaml"
        rows = "".join(f"      - {machine}\n" for machine in machines)
        path.write_text(f"{HEAD}{before}lines:\n  - name: l\n    machines:\n{rows}", encoding="utf-8")
        return load_and_compile(path, texts, {})

    return compile_text


def first(plant: CompiledPlant) -> Machine:
    return plant.plant.machines[0]


# Stop reasons

RUN = 'state: {model: run_fault, signals: {run: {node: "ns=2;s=R"}, fault: {node: "ns=2;s=F"}}}'


def test_a_reason_is_the_machines_before_its_profiles_before_the_plants(compiled: Compile) -> None:
    before = """
reasons:
  A: {name: From the plant, loss: breakdown}
  B: {loss: starved}
  C: {loss: blocked, group: [Line, Downstream]}
profiles:
  press:
    connection: plc
    stop_reason: {node: "ns=2;s=Why"}
    reasons: {A: {name: From the profile, loss: setup}, B: {loss: minor_stop}, 17: {planned: true}}
"""
    texts = TextCodes()
    plant = compiled(
        "{id: a, profile: press, reasons: {A: {loss: maintenance}}}",
        "{id: b, profile: press}",
        before=before,
        texts=texts,
    )
    meant = {texts.text(code): state for code, state in first(plant).reasons.items()}
    assert meant == {
        "A": State.MAINTENANCE,
        "B": State.STOPPED,
        "C": State.BLOCKED,
        "17": State.PLANNED_STOP,
    }
    assert [(one.code, one.name, one.group) for one in plant.reasons["b"]] == [
        ("A", "From the profile", ()),
        ("B", "B", ()),
        ("C", "C", ("Line", "Downstream")),
        ("17", "17", ()),
    ]


@pytest.mark.parametrize(
    ("options", "planned", "state"),
    [
        *((f"loss: {loss}", loss.startswith("planned"), state) for loss, state in LOSSES.items()),
        ("planned: true", True, State.PLANNED_STOP),
        ("planned: false", False, None),
        ("name: Only a name", False, None),
        ("loss: setup, planned: true", True, State.SETUP),
        ("loss: planned_stop, planned: true", True, State.PLANNED_STOP),
    ],
)
def test_a_loss_is_what_a_stop_counts_as(compiled: Compile, options: str, planned: bool, state: State | None) -> None:
    plant = compiled(
        f'{{id: a, connection: plc, {RUN}, stop_reason: {{node: "ns=2;s=W"}}, reasons: {{X: {{{options}}}}}}}'
    )
    (reason,) = plant.reasons["a"]
    assert (reason.planned, reason.state) == (planned, state)
    assert list(first(plant).reasons.values()) == ([] if state is None else [state])


def test_a_reason_that_is_unknown_or_has_no_loss_leaves_the_stop_as_it_is(compiled: Compile) -> None:
    """The engine runs over it: the same stop under three reasons, and one that nobody has heard of."""
    reasons = "reasons: {LUNCH: {planned: true}, NOTE: {name: Ask the foreman}, 42: {loss: starved}}"
    texts = TextCodes()
    plant = compiled(f'{{id: a, connection: plc, {RUN}, stop_reason: {{node: "ns=2;s=W"}}, {reasons}}}', texts=texts)
    machine = first(plant)
    assert machine.reason is not None
    run, fault = (
        signal.tag for signal in sorted(machine.state_signals, key=lambda s: plant.tags.tags[s.tag].name)[::-1]
    )
    link = plant.opcua[0].link.tag
    engine = Engine(plant.plant, horizon_ns=10 * MINUTE)
    samples = [(link, START + s * 10_000_000_000, 1.0) for s in range(31)]
    samples += [(run, START, 0.0), (fault, START, 0.0)]
    samples += [
        (machine.reason.tag, START + m * MINUTE, float(texts.code(why)))
        for m, why in enumerate(["LUNCH", "NOTE", "42", "NEVER_HEARD"])
    ]
    tag, time, value = zip(*samples, strict=True)
    engine.add(np.array(tag, np.int32), np.array(time, np.int64), np.array(value), np.zeros(len(tag), np.uint8))
    states = [State(state) for state in engine.advance(START + 4 * MINUTE).intervals.sort("start")["state"]]
    assert states == [State.PLANNED_STOP, State.STOPPED, State.STARVED, State.STOPPED]


def test_the_tree_of_reasons_is_kept_for_boards(compiled: Compile) -> None:
    before = "reasons: {E1: {name: Spindle, group: [Technical, Drives], loss: breakdown}}\n"
    plant = compiled(
        '{id: a, connection: plc, stop_reason: {node: "ns=2;s=W"}}',
        '{id: b, connection: plc, counts: {good: {node: "ns=2;s=G"}}}',
        before=before,
    )
    assert plant.reasons == {"a": (Reason("E1", "Spindle", ("Technical", "Drives"), False, State.BREAKDOWN),)}


def test_reasons_without_their_signal_and_signals_without_reasons_are_said(compiled: Compile) -> None:
    count = 'counts: {good: {node: "ns=2;s=G"}}'
    plant = compiled(
        f"{{id: a, connection: plc, {count}, reasons: {{X: {{loss: setup}}}}}}",
        f'{{id: b, connection: plc, {count}, stop_reason: {{node: "ns=2;s=W"}}}}',
    )
    assert "a: `reasons`, but no `stop_reason` signal: they have no effect" in plant.warnings
    assert "b: a stop reason, but no `reasons`: it is shown, and changes nothing" in plant.warnings
    of_plant = compiled(f"{{id: a, connection: plc, {count}}}", before="reasons: {X: {loss: setup}}\n")
    assert "`reasons` are used by no machine: none has a `stop_reason` signal" in of_plant.warnings


# Counters


def test_the_fastest_cycle_bounds_a_rise(compiled: Compile) -> None:
    plant = compiled('{id: a, connection: plc, counts: {good: {node: "ns=2;s=G", fastest_cycle: 250 ms}}}')
    assert first(plant).counters[Quantity.GOOD].most_per_second == 4.0


def test_a_fastest_cycle_longer_than_the_ideal_one_is_said(compiled: Compile) -> None:
    count = 'counts: {good: {node: "ns=2;s=G", fastest_cycle: 5 s}}'
    plant = compiled(f"{{id: a, connection: plc, {count}, default_ideal_cycle_time: 4500 ms}}")
    said = "a: good: `fastest_cycle` of 5 s is longer than the ideal cycle time, 4500 ms: full speed is taken for jumps"
    assert said in plant.warnings


def test_a_fastest_cycle_is_held_against_products_only_where_it_can_fit_none(compiled: Compile) -> None:
    """Products of the plant may be made elsewhere."""
    machine = '{id: a, connection: plc, counts: {good: {node: "ns=2;s=G", fastest_cycle: 5 s}}}'
    products = "products: {SMALL: {ideal_cycle_time: 1 s}, LARGE: {ideal_cycle_time: %s}}\n"
    assert not any("jumps" in said for said in compiled(machine, before=products % "9 s").warnings)
    assert any("jumps" in said for said in compiled(machine, before=products % "4 s").warnings)


def test_a_message_can_be_a_piece(compiled: Compile) -> None:
    """`true` is one piece; with scale -1 and offset 1 the others are, so one flag feeds good and scrap."""
    flag = "path: ok, event: true"
    plant = compiled(
        f"{{id: a, connection: floor, topic: t, time: {{path: ts, unit: ms}}, "
        f"counts: {{good: {{{flag}}}, scrap: {{{flag}, scale: -1, offset: 1}}}}}}"
    )
    good, scrap = first(plant).counters[Quantity.GOOD], first(plant).counters[Quantity.SCRAP]
    assert good.event
    assert scrap.event
    assert [plant.tags.scale[scrap.tag] * ok + plant.tags.offset[scrap.tag] for ok in (1, 0)] == [0, 1]
    assert not any("events" in warning for warning in plant.warnings)


def test_events_without_their_time_are_said(compiled: Compile) -> None:
    plant = compiled("{id: a, connection: floor, topic: t, counts: {good: {path: ok, event: true}}}")
    assert "a: good: events without `time`: what is delivered twice counts twice" in plant.warnings


# Meters


@pytest.mark.parametrize(
    ("carrier", "unit", "factor", "engine_unit"),
    [
        ("gas", "m³", 1, "m³"), ("gas", "Nm³", 1, "m³"), ("gas", "L", 1e-3, "m³"),
        ("steam", "kg", 1, "kg"), ("steam", "t", 1e3, "kg"),
        ("compressed_air", "m³", 1, "m³"), ("compressed_air", "L", 1e-3, "m³"),
        ("water", "t", 1, "t"), ("water", "m³", 1, "t"), ("water", "L", 1e-3, "t"), ("water", "kg", 1e-3, "t"),
        ("heat", "MJ", 1, "MJ"), ("heat", "GJ", 1e3, "MJ"), ("heat", "kWh", 3.6, "MJ"), ("heat", "MWh", 3.6e3, "MJ"),
    ],
)  # fmt: skip
def test_a_medium_comes_in_the_engines_unit(
    compiled: Compile, carrier: str, unit: str, factor: float, engine_unit: str
) -> None:
    meter = f'{{node: "ns=2;s=M", unit: {unit}, rolls_over_at: 1000, scale: 10}}'
    plant = compiled(f"{{id: a, connection: plc, media: {{{carrier}: {meter}}}}}")
    counter = first(plant).media[Carrier(carrier)]
    assert plant.tags.scale[counter.tag] == pytest.approx(10 * factor)
    assert counter.modulus == pytest.approx(1000 * factor)
    assert plant.tags.tags[counter.tag].unit == engine_unit
    assert plant.tags.tags[counter.tag].signal == carrier


@pytest.mark.parametrize(
    ("meter", "most_per_second"),
    [
        ("energy: {unit: Wh, rated_power: 72 kW, ", 0.02),
        ("energy: {unit: kWh, rated_power: 1.8 MW, ", 0.5),
        ("media: {gas: {unit: m³, rated_flow: 36 m³/h, ", 0.01),
        ("media: {steam: {unit: t, rated_flow: 1.8 t/h, ", 0.5),
        ("media: {compressed_air: {unit: m³, rated_flow: 600 L/min, ", 0.01),
        ("media: {water: {unit: m³, rated_flow: 3.6 m³/h, ", 0.001),
        ("media: {heat: {unit: GJ, rated_flow: 200 kW, ", 0.2),
    ],
)
def test_what_a_machine_is_rated_for_bounds_its_meter(compiled: Compile, meter: str, most_per_second: float) -> None:
    end = "}}" if meter.startswith("media") else "}"
    machine = first(compiled(f'{{id: a, connection: plc, {meter}node: "ns=2;s=M"{end}}}'))
    (counter,) = [machine.energy] if machine.energy else machine.media.values()
    assert isinstance(counter, Counter)
    assert counter.most_per_second == pytest.approx(most_per_second)


def test_a_machines_media_add_to_its_profiles(compiled: Compile) -> None:
    before = """
profiles: {p: {connection: plc, media: {gas: {node: "ns=2;s=A", unit: L}, water: {node: "ns=2;s=B", unit: L}}}}
"""
    plant = compiled('{id: a, profile: p, media: {gas: {node: "ns=2;s=C", unit: L}}}', before=before)
    assert {tag.signal: tag.source for tag in plant.tags.tags if tag.machine == "a"} == {
        "gas": "ns=2;s=C", "water": "ns=2;s=B",
    }  # fmt: skip


def test_a_reading_every_quarter_of_an_hour_is_spread_over_it(compiled: Compile) -> None:
    plant = compiled('{id: a, connection: plc, media: {gas: {node: "ns=2;s=M", unit: L, rolls_over_at: 10000}}}')
    tag, link = first(plant).media[Carrier.GAS].tag, plant.opcua[0].link.tag
    engine = Engine(plant.plant, horizon_ns=60 * MINUTE)
    reading = np.array([9700.0, 9850.0, 0.0, 150.0]) * plant.tags.scale[tag]  # it rolls over on the way
    time = START + np.array([0, 15, 30, 45], np.int64) * MINUTE
    engine.add(
        np.array([tag] * 4 + [link], np.int32), np.append(time, START), np.append(reading, 1.0), np.zeros(5, np.uint8)
    )
    gas = engine.advance(START + 45 * MINUTE).elements.sort("time")["gas"].to_list()
    assert gas == [10_000] * 45  # 10 litres a minute, in millionths of a cubic metre


# Measured values


@pytest.mark.parametrize(
    ("limits", "made"),
    [
        ("lower: 9.9, upper: 10.1", (9.9, 10.1, 10.0)),
        ("upper: 0.02, nominal: 0", (None, 0.02, 0.0)),
        ("lower: 5", (5.0, None, 5.0)),
    ],
)
def test_a_measured_value_with_limits_is_a_characteristic(
    compiled: Compile, limits: str, made: tuple[float | None, float | None, float]
) -> None:
    measured = f'd: {{node: "ns=2;s=D", limits: {{{limits}}}}}, t: {{node: "ns=2;s=T"}}'
    plant = compiled(f"{{id: a, connection: plc, measured: {{{measured}}}}}")
    (one,) = first(plant).characteristics
    assert one == Characteristic("d", one.tag, *made)


# Energy factors

METER = '{id: a, connection: plc, energy: {node: "ns=2;s=E", unit: kWh}}'


def factor_rows(plant: CompiledPlant) -> list[tuple[str | None, int, float, float]]:
    return [(one.carrier, one.since, one.kgce, one.kg_co2e) for one in plant.plant.factors]


def midnight(year: int) -> int:
    """Of the first of January in Shanghai."""
    days = sum(366 if y % 4 == 0 else 365 for y in range(1970, year))
    return (days * 86_400 - 8 * 3_600) * 1_000_000_000


def test_without_a_choice_energy_is_coal_by_its_heat_and_has_no_carbon(compiled: Compile) -> None:
    plant = compiled(METER)
    assert factor_rows(plant)[0] == (None, 0, 0.1229, 0.0)
    assert "no `factors.grid`: CO2e of electricity cannot be had" in plant.warnings


def test_a_grids_factor_is_that_of_the_year_and_the_first_one_holds_before(compiled: Compile) -> None:
    plant = compiled(METER, before="factors: {grid: china}\n")
    electricity = [row for row in factor_rows(plant) if row[0] is None]
    assert electricity == [
        (None, 0, 0.1229, 0.5568),
        (None, midnight(2022), 0.1229, 0.5366),
        (None, midnight(2023), 0.1229, 0.5306),
    ]
    assert not any("CO2e" in warning for warning in plant.warnings)


@pytest.mark.parametrize("grid", GRIDS)
def test_every_grid_has_one_row_a_year(compiled: Compile, grid: str) -> None:
    electricity = [row for row in factor_rows(compiled(METER, before=f"factors: {{grid: {grid}}}\n")) if row[0] is None]
    assert all(0.1 < co2 < 1.0 for *_, co2 in electricity)
    assert len({since for _, since, *_ in electricity}) == len(electricity)


def test_the_equivalent_value_is_for_the_whole_plant_and_said_to_be_round(compiled: Compile) -> None:
    plant = compiled(METER, before="factors: {grid: china, electricity: equivalent}\n")
    assert {kgce for carrier, _, kgce, _ in factor_rows(plant) if carrier is None} == {0.30}
    said = "the equivalent value of electricity is a round figure; give the year's own in `factors.own`"
    assert said in plant.warnings
    own = "own: [{carrier: electricity, kgce: 0.3016, source: NEA}]"
    with_own = compiled(METER, before=f"factors: {{grid: china, electricity: equivalent, {own}}}\n")
    assert {kgce for carrier, _, kgce, _ in factor_rows(with_own) if carrier is None} == {0.3016}
    assert said not in with_own.warnings


def test_media_that_are_made_of_metered_energy_do_not_count_again(compiled: Compile) -> None:
    machine = '{id: a, connection: plc, media: {compressed_air: {node: "ns=2;s=A", unit: L}}}'
    plant = compiled(machine)
    assert {row[0] for row in factor_rows(plant)} == {None, "gas", "steam", "heat"}
    assert any("compressed_air is metered, and not counted as coal" in warning for warning in plant.warnings)
    bought = compiled(machine, before="factors: {bought_media: [compressed_air]}\n")
    assert ("compressed_air", 0, 0.04, 0.0) in factor_rows(bought)
    assert not any("bought_media" in warning for warning in bought.warnings)


def test_a_plants_own_figure_comes_before_the_shipped_ones_from_its_date_on(compiled: Compile) -> None:
    """The shipped figure of 2023 is later than the plant's own, and does not come back."""
    own = 'own: [{carrier: electricity, since: 2022-07-01, kg_co2e: 0.1, source: "contract"}]'
    plant = compiled(METER, before=f"factors: {{grid: china, {own}}}\n")
    electricity = [one for one in plant.plant.factors if one.carrier is None]
    assert [one.kg_co2e for one in electricity] == [0.5568, 0.5366, 0.1]
    assert [one.kgce for one in electricity] == [0.1229] * 3
    assert electricity[-1].source == "GB/T 2589-2020, electricity, calorific value; contract"


def test_another_figure_makes_another_version(compiled: Compile) -> None:
    own = "own: [{carrier: gas, kgce: %s, source: meter}]"
    first_, second = (compiled(METER, before=f"factors: {{{own % kgce}}}\n").version for kgce in ("1.2", "1.3"))
    assert first_ != second


def test_every_shipped_figure_has_its_source_and_says_when_it_was_not_seen_in_one() -> None:
    for figure in (*shipped().kgce, *shipped().kg_co2e):
        assert figure.source
        assert figure.value > 0
        assert figure.verified or figure.note or "2021" in figure.source


def test_standard_coal_is_what_its_heat_says() -> None:
    """1 kgce = 29 307.6 kJ: kWh and MJ follow from it; a slip of a digit in the file would not."""
    of = {(figure.carrier, figure.kind): figure.value for figure in shipped().kgce}
    assert of["electricity", "calorific"] == pytest.approx(3_600 / 29_307.6, rel=1e-3)
    assert of["heat", None] == pytest.approx(1_000 / 29_307.6, rel=1e-3)
    assert of["steam", None] == pytest.approx(3_763 / 29_307.6, rel=2e-3)


@pytest.mark.parametrize(
    ("options", "of_stop", "cycle_gap"),
    [
        ("", False, None),
        ("stop_reason_holds: until_changed, cycle_gap: 20 s", False, 20_000_000_000),
        ("stop_reason_holds: stop, cycle_gap: 1500 ms", True, 1_500_000_000),
    ],
)
def test_how_long_a_reason_holds_and_what_is_a_pause_within_the_cycle_is_said_of_the_machine(
    compiled: Compile, options: str, of_stop: bool, cycle_gap: int | None
) -> None:
    machine = first(compiled(f'{{id: a, connection: plc, {RUN}, stop_reason: {{node: "ns=2;s=W"}}, {options}}}'))
    assert (machine.reason_of_stop, machine.cycle_gap_ns) == (of_stop, cycle_gap)


def test_a_word_for_how_long_a_reason_holds_that_is_none_is_told(compiled: Compile) -> None:
    with pytest.raises(ConfigError) as fault:
        compiled(f'{{id: a, connection: plc, {RUN}, stop_reason: {{node: "ns=2;s=W"}}, stop_reason_holds: always}}')
    assert "stop_reason_holds" in str(fault.value)
    assert "`until_changed`" in str(fault.value)
    assert "`stop`" in str(fault.value)
