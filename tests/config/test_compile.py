"""What a configuration compiles to: tags, items, the engine's machines."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, time
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import pytest

from config import CompiledPlant, load_and_compile, summary
from config.compiled import AgentSettings
from connectors.mqtt.settings import MqttSettings
from connectors.opcua.settings import OpcUaSettings
from connectors.texts import TextCodes
from kpi.engine import Engine
from kpi.plant import Machine, Quantity, Signal, State, StateModel

HEAD = """
plant: {enterprise: Works, site: north, time_zone: Asia/Shanghai}
connections:
  plc: {type: opcua, endpoint: "opc.tcp://10.0.0.1:4840", link_holds: 20 s}
  floor: {type: mqtt, host: broker}
"""


class Compile(Protocol):
    """Compiles a text; keyword arguments are environment variables."""

    def __call__(self, text: str, texts: TextCodes | None = None, **environment: str) -> CompiledPlant: ...


@pytest.fixture
def compiled(tmp_path: Path) -> Compile:
    """Compiles a text: the head above with machines of one line, or a whole file."""

    def compile_text(text: str, texts: TextCodes | None = None, **environment: str) -> CompiledPlant:
        path = tmp_path / "plant.yaml"
        path.write_text(text if "plant:" in text else HEAD + text, encoding="utf-8")
        return load_and_compile(path, texts, environment)

    return compile_text


def line(*machines: str, before: str = "") -> str:
    """Machines, each a flow mapping, in one line `pressing` of the area `hall`."""
    rows = "".join(f"      - {machine}\n" for machine in machines)
    return f"{before}lines:\n  - name: pressing\n    area: hall\n    machines:\n{rows}"


def only(plant: CompiledPlant) -> Machine:
    (machine,) = plant.plant.machines
    return machine


def of_rule(where: str, signal: str, values: str) -> str:
    """A machine `a` that produces when its signal `s` has one of the values."""
    return (
        f"{{id: a, {where}, state: {{signals: {{s: {signal}}}, rules: [{{when: {{s: {values}}}, state: producing}}]}}}}"
    )


T = TypeVar("T")


def given(value: T | None) -> T:
    """The value, which must be there."""
    assert value is not None
    return value


def test_a_tag_for_every_signal_and_one_link_for_every_connection_in_use(compiled: Compile) -> None:
    plant = compiled(
        line(
            '{id: a, connection: plc, counts: {good: {node: "ns=2;s=G"}}, measured: {t: {node: "ns=2;s=T", unit: °C}}}',
            '{id: b, connection: plc, counts: {good: {node: "ns=2;s=H"}}}',
        )
    )
    names = [tag.name for tag in plant.tags.tags]
    assert sorted(names) == ["a.good", "a.t", "b.good", "plc.link"]
    assert [item.tag for item in plant.opcua[0].items] == [names.index(n) for n in ("a.good", "a.t", "b.good")]
    assert plant.opcua[0].link.tag == names.index("plc.link")
    assert plant.opcua[0].link.holds_ns == 20_000_000_000
    assert plant.mqtt == ()
    assert "connection `floor` has no signals and is not opened" in plant.warnings


def test_scale_and_offset_come_before_the_unit(compiled: Compile) -> None:
    plant = compiled(line('{id: a, connection: plc, power: {node: "ns=2;s=P", unit: W, scale: 10, offset: 5}}'))
    tag = given(only(plant).power).tag
    assert plant.tags.scale[tag] == pytest.approx(0.01)
    assert plant.tags.offset[tag] == pytest.approx(0.005)
    assert plant.tags.tags[tag].unit == "kW"


@pytest.mark.parametrize(
    ("unit", "kwh"),
    [("Wh", 1e-3), ("kWh", 1), ("MWh", 1e3), ("J", 1 / 3.6e6), ("kJ", 1 / 3600), ("MJ", 1 / 3.6), ("GJ", 277.777778)],
)
def test_energy_and_the_reading_at_which_it_rolls_over_become_kwh(compiled: Compile, unit: str, kwh: float) -> None:
    plant = compiled(
        line(f'{{id: a, connection: plc, energy: {{node: "ns=2;s=E", unit: {unit}, rolls_over_at: 1000}}}}')
    )
    energy = given(only(plant).energy)
    assert plant.tags.scale[energy.tag] == pytest.approx(kwh)
    assert energy.modulus == pytest.approx(1000 * kwh)


def test_a_hundred_machines_of_one_profile_share_one_state_model(compiled: Compile) -> None:
    profile = """
profiles:
  press:
    connection: plc
    state: {model: packml, signals: {state: {node: "ns=2;s={device}.{site}.{area}.{line}.{machine}"}}}
"""
    machines = [f"{{id: press-{n}, profile: press, with: {{device: D{n}}}}}" for n in range(100)]
    plant = compiled(line(*machines, before=profile))
    assert len({id(machine.state_model) for machine in plant.plant.machines}) == 1
    assert plant.opcua[0].items[7].node == "ns=2;s=D7.north.hall.pressing.press-7"


def test_equal_models_of_different_profiles_are_one_too(compiled: Compile) -> None:
    state = 'connection: plc, state: {signals: {s: {node: "ns=2;s=S"}}, rules: [{when: {s: 1}, state: producing}]}'
    plant = compiled(
        line("{id: x, profile: a}", "{id: y, profile: b}", before=f"profiles: {{a: {{{state}}}, b: {{{state}}}}}\n")
    )
    first, second = plant.plant.machines
    assert first.state_model is second.state_model


def test_what_a_machine_says_comes_before_its_profile(compiled: Compile) -> None:
    profile = """
products: {A: {ideal_cycle_time: 10 s}, B: {ideal_cycle_time: 20 s}, C: {}}
profiles:
  press:
    connection: plc
    counts: {good: {node: "ns=2;s=G"}, scrap: {node: "ns=2;s=S"}}
    measured: {t: {node: "ns=2;s=T"}}
    ideal_cycle_time: {A: 9 s, B: 19 s}
"""
    counts, measured = '{good: {node: "ns=2;s=Own"}}', '{u: {node: "ns=2;s=U"}}'
    own = f"{{id: a, profile: press, counts: {counts}, measured: {measured}, ideal_cycle_time: {{B: 18 s}}}}"
    texts = TextCodes()
    plant = compiled(line(own, before=profile), texts)
    assert {tag.signal: tag.source for tag in plant.tags.tags if tag.machine == "a"} == {
        "good": "ns=2;s=Own", "scrap": "ns=2;s=S", "t": "ns=2;s=T", "u": "ns=2;s=U",
    }  # fmt: skip
    ideal = {texts.text(code): ns for code, ns in only(plant).ideal_ns.items()}
    assert ideal == {"A": 9_000_000_000, "B": 18_000_000_000}


def test_text_values_in_rules_make_a_text_tag_and_numbers_beside_them_match_by_their_text(compiled: Compile) -> None:
    texts = TextCodes()
    plant = compiled(
        line(of_rule("connection: floor, topic: t", "{path: s}", "[RUN, 3, true]")),
        texts,
    )
    (rule,) = only(plant).state_model.rules
    assert {texts.text(int(code)) for code in rule.when["s"]} == {"RUN", "3", "true"}
    assert plant.mqtt[0].items[0].text


def test_numbers_and_booleans_in_rules_are_numbers(compiled: Compile) -> None:
    plant = compiled(line(of_rule("connection: plc", '{node: "ns=2;s=S"}', "[true, 2.5, -3]")))
    assert only(plant).state_model.rules[0].when == {"s": frozenset({1.0, 2.5, -3.0})}
    assert not plant.opcua[0].items[0].text


def test_a_map_names_numbers_as_the_source_sends_them(compiled: Compile) -> None:
    signal = 's: {node: "ns=2;s=S", map: {0: stop, 1: run, 2: run, 3: fault}}'
    rules = "[{when: {s: run}, state: producing}, {when: {s: [stop, fault]}, state: stopped}]"
    plant = compiled(line(f"{{id: a, connection: plc, state: {{signals: {{{signal}}}, rules: {rules}}}}}"))
    first, second = only(plant).state_model.rules
    assert first.when == {"s": frozenset({1.0, 2.0})}
    assert second.when == {"s": frozenset({0.0, 3.0})}
    assert not plant.opcua[0].items[0].text


def test_a_map_lets_texts_speak_to_a_ready_model(compiled: Compile) -> None:
    texts = TextCodes()
    signal = "run: {path: s, map: {RUN: 1, SLOW: 1, STOP: 0}}"
    plant = compiled(
        line(f"{{id: a, connection: floor, topic: t, state: {{model: run_fault, signals: {{{signal}}}}}}}"), texts
    )
    producing, stopped = only(plant).state_model.rules
    assert {texts.text(int(code)) for code in producing.when["run"]} == {"RUN", "SLOW"}
    assert {texts.text(int(code)) for code in stopped.when["run"]} == {"STOP"}


def state_of(model: StateModel, values: dict[str, int]) -> State:
    """The first rule that fits, by the contract's own words."""
    for rule in model.rules:
        if all(values[name] in wanted for name, wanted in rule.when.items()):
            return rule.state
    return State.UNKNOWN


def test_own_rules_come_before_those_of_the_model(compiled: Compile) -> None:
    state = 'model: packml, signals: {state: {node: "ns=2;s=S"}}, rules: [{when: {state: 11}, state: setup}]'
    plant = compiled(line(f"{{id: a, connection: plc, state: {{{state}}}}}"))
    assert state_of(only(plant).state_model, {"state": 11}) is State.SETUP
    assert state_of(only(plant).state_model, {"state": 10}) is State.STOPPED


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("", None),
        (", default_ideal_cycle_time: 5 s", 1200),
        (", default_ideal_cycle_time: 2 min", 2400),
        (", default_ideal_cycle_time: 90 s, stuck_after: 10 min", 600),
        (", default_ideal_cycle_time: 90 s, stuck_after: never", None),
        (", stuck_after: 1 min", 60),
    ],
)
def test_a_counter_is_stuck_after_twenty_minutes_or_cycles_or_as_said(
    compiled: Compile, said: str, seconds: int | None
) -> None:
    counts = 'connection: plc, counts: {good: {node: "ns=2;s=G"}}'
    limit = only(compiled(line(f"{{id: a, {counts}{said}}}"))).stuck_after_ns
    assert limit == (None if seconds is None else seconds * 1_000_000_000)


def test_a_state_over_mqtt_goes_stale_after_a_minute_and_over_opc_ua_never(compiled: Compile) -> None:
    def machine(name: str, where: str, signal: str) -> str:
        return f"{{id: {name}, {where}, state: {{model: run_fault, signals: {{run: {signal}}}}}}}"

    floor = "connection: floor, topic: t"
    plant = compiled(
        line(
            machine("a", "connection: plc", '{node: "ns=2;s=R"}'),
            machine("b", floor, "{path: r}"),
            machine("c", f"{floor}, stale_after: 5 min", "{path: r}"),
            machine("d", f"{floor}, stale_after: never", "{path: r}"),
            machine("e", f"{floor}, stale_after: 5 min", "{path: r, stale_after: 7 s}"),
        )
    )
    stale = [machine.state_signals[0].stale_after_ns for machine in plant.plant.machines]
    assert stale == [None, 60_000_000_000, 300_000_000_000, None, 7_000_000_000]


def test_placeholders_and_defaults_of_a_profile_over_mqtt(compiled: Compile) -> None:
    profile = """
profiles:
  station:
    connection: floor
    topic: "{enterprise}/{site}/{line}/{machine}"
    time: {path: "{stamp}.ts", unit: ns}
    counts: {good: {path: "parts[{place}].good"}, scrap: {topic: "other/{machine}"}}
"""
    plant = compiled(line("{id: s1, profile: station, with: {stamp: meta, place: 2}}", before=profile))
    good, scrap = plant.mqtt[0].items
    assert (good.topic, good.payload, good.value_path) == ("Works/north/pressing/s1", "json", "parts[2].good")
    assert (good.time_path, good.time_unit) == ("meta.ts", "ns")
    assert (scrap.topic, scrap.payload, scrap.time_path) == ("other/s1", "plain", None)
    assert plant.mqtt[0].subscribe == ("Works/north/pressing/s1", "other/s1")
    assert plant.mqtt[0].client_id == "edge-agent-north-floor"


def test_a_machine_without_a_state_is_unknown_and_still_metered(compiled: Compile) -> None:
    """The engine runs over it: its time is unknown, nothing counts as a value without a rule."""
    plant = compiled(line('{id: meter, connection: plc, energy: {node: "ns=2;s=E", unit: kWh}}'))
    machine = only(plant)
    link, energy = plant.opcua[0].link.tag, given(machine.energy).tag
    minute, start = 60_000_000_000, 1_760_000_040_000_000_000
    engine = Engine(plant.plant, horizon_ns=10 * minute)
    tag = np.array([link, energy, link, energy, link], np.int32)
    at = np.array([0, 0, 15, 60, 30], np.int64) * 1_000_000_000 + start
    engine.add(tag, at, np.array([1.0, 100.0, 1.0, 103.0, 1.0]), np.zeros(5, np.uint8))
    update = engine.advance(start + 2 * minute)
    assert update.elements["energy"].sum() == 3_000_000
    assert update.elements["unknown"].sum() == update.elements["pbt"].sum()
    assert "unmapped_state" not in update.decisions
    assert "meter: no state: availability cannot be had" in plant.warnings


def test_calendars_of_plant_and_line(compiled: Compile) -> None:
    text = """
plant: {site: north, time_zone: Europe/Berlin}
connections: {plc: {type: opcua, endpoint: "opc.tcp://10.0.0.1:4840"}}
calendar:
  shifts: [{name: night, start: "22:00", end: "06:00", days: [sun], breaks: [{start: "01:00", end: "01:30"}]}]
  holidays: [2026-10-03]
lines:
  - name: a
    machines: [{id: a, connection: plc, counts: {good: {node: "ns=2;s=A"}}}]
  - name: b
    calendar: {shifts: [{name: day, start: "00:00", end: "24:00"}], holidays: []}
    machines: [{id: b, connection: plc, counts: {good: {node: "ns=2;s=B"}}}]
"""
    first, second = compiled(text).plant.machines
    (night,) = first.calendar.shifts
    assert (night.start, night.end, set(night.days), night.breaks) == (
        time(22),
        time(6),
        {6},
        ((time(1), time(1, 30)),),
    )
    assert first.calendar.holidays == {date(2026, 10, 3)}
    assert second.calendar.shifts[0].end == time(0)
    assert second.calendar.shifts[0].days == set(range(7))
    assert second.calendar.holidays == frozenset()
    assert first.calendar.timezone == second.calendar.timezone == "Europe/Berlin"


def test_without_a_calendar_work_is_planned_around_the_clock_and_that_is_said(compiled: Compile) -> None:
    plant = compiled(line('{id: a, connection: plc, counts: {good: {node: "ns=2;s=A"}}}'))
    (shift,) = only(plant).calendar.shifts
    assert (shift.start, shift.end, set(shift.days)) == (time(0), time(0), set(range(7)))
    assert "no calendar: work is taken to be planned around the clock" in plant.warnings


def test_what_cannot_be_had_is_said_once_for_all_machines(compiled: Compile) -> None:
    machines = [f'{{id: m{n}, connection: plc, counts: {{good: {{node: "ns=2;s=A{n}"}}}}}}' for n in range(5)]
    warnings = compiled(line(*machines)).warnings
    assert "m0, m1, m2 and 2 more: no ideal cycle time: effectiveness and OEE cannot be had" in warnings
    few = "fewer than two of good, scrap and total: the quality ratio and the scrap ratio cannot be had"
    assert f"m0, m1, m2 and 2 more: {few}" in warnings


def test_a_state_signal_in_no_rule_is_collected_but_not_asked(compiled: Compile) -> None:
    state = (
        'state: {signals: {s: {node: "ns=2;s=S"}, mode: {node: "ns=2;s=M"}}, rules: [{when: {s: 1}, state: producing}]}'
    )
    plant = compiled(line(f"{{id: a, connection: plc, {state}}}"))
    assert only(plant).state_model.signals == ("s",)
    assert len(only(plant).state_signals) == 1
    assert "a.state.mode" in [tag.name for tag in plant.tags.tags]
    assert "a: no rule uses the state signal `mode`" in plant.warnings


def test_substitution_reaches_numbers_booleans_and_parts_of_texts(compiled: Compile) -> None:
    text = """
plant: {site: "${SITE}", time_zone: UTC}
agent: {raw: "${RAW}", tick: "${TICK:-250 ms}"}
connections:
  floor: {type: mqtt, host: "${HOST:-broker}", port: "${PORT}", password: "$${kept} ${PW}", session_expiry: "${N} min"}
lines:
  - name: a
    machines: [{id: a, connection: floor, topic: "x/${SITE}", counts: {good: {scale: "${SCALE}"}}}]
"""
    plant = compiled(text, SITE="north", RAW="false", PORT="2883", PW="#: {[*&!", N="3", SCALE="0.5")
    (mqtt,) = plant.mqtt
    assert (plant.site, plant.agent.raw, plant.agent.tick_ns) == ("north", False, 250_000_000)
    assert (mqtt.host, mqtt.port, mqtt.password) == ("broker", 2883, "${kept} #: {[*&!")
    assert mqtt.session_expiry_ns == 180_000_000_000
    assert mqtt.items[0].topic == "x/north"
    assert plant.tags.scale[mqtt.items[0].tag] == 0.5


def test_a_secret_cannot_become_yaml(compiled: Compile) -> None:
    text = 'influx: {url: "http://localhost:8086", bucket: b, token: "${TOKEN}"}\n'
    token = "x}\nagent: {journal: stolen}\n#"
    plant = compiled(text + line('{id: a, connection: plc, counts: {good: {node: "ns=2;s=A"}}}'), TOKEN=token)
    assert given(plant.influx).token == token
    assert plant.agent.journal == "edge-agent.journal"


def test_no_secret_is_in_a_repr_or_in_the_version(compiled: Compile) -> None:
    text = 'influx: {url: "http://localhost:8086", bucket: b, token: "${TOKEN}"}\n'
    rest = line('{id: a, connection: plc, counts: {good: {node: "ns=2;s=A"}}}')
    first, second = compiled(text + rest, TOKEN="first-secret"), compiled(text + rest, TOKEN="second-secret")
    assert "first-secret" not in repr(first)
    assert first.version == second.version


def test_the_version_is_of_the_meaning_and_not_of_the_layout(compiled: Compile) -> None:
    rest = line('{id: a, connection: plc, counts: {good: {node: "ns=2;s=A"}}}')
    plain = compiled("agent: {tick: 500 ms}\n" + rest)
    assert compiled("# a remark\n" + rest + "agent:\n  tick: 0.5 s\n").version == plain.version
    assert compiled("agent: {tick: 501 ms}\n" + rest).version != plain.version


def test_texts_keep_the_codes_of_the_journal(compiled: Compile) -> None:
    products = "products: {A: {ideal_cycle_time: 1 s}, B: {ideal_cycle_time: 2 s}}\n"
    plant = compiled(
        line('{id: a, connection: plc, product: {node: "ns=2;s=P"}}', before=products), TextCodes({"B": 0, "x": 1})
    )
    assert only(plant).ideal_ns == {0: 2_000_000_000, 2: 1_000_000_000}


def test_defaults_of_the_file_are_those_of_the_settings(compiled: Compile) -> None:
    """One of the two would otherwise drift: what a connector does by itself, and what the schema says it does."""
    plant = compiled(
        line(
            '{id: a, connection: plc, counts: {good: {node: "ns=2;s=A"}}}',
            "{id: b, connection: floor, counts: {good: {topic: t}}}",
        )
    )
    assert replace(plant.agent, journal="", keep_hours_ns=0) == replace(
        AgentSettings(journal=""), keep_hours_ns=0
    )  # ten years are told in days
    opcua, mqtt = plant.opcua[0], plant.mqtt[0]
    assert opcua == OpcUaSettings(name="plc", endpoint="opc.tcp://10.0.0.1:4840", link=opcua.link, items=opcua.items)
    assert mqtt == MqttSettings(
        name="floor", host="broker", link=mqtt.link, items=mqtt.items, subscribe=("t",), client_id=mqtt.client_id
    )


def test_the_engine_gets_the_link_of_each_signal(compiled: Compile) -> None:
    own = 'product: {node: "ns=2;s=P"}, power: {connection: floor, topic: p, unit: W}'
    plant = compiled(line(f"{{id: a, connection: plc, {own}}}"))
    machine = only(plant)
    assert machine.product == Signal(given(machine.product).tag, plant.opcua[0].link.tag, 20_000_000_000)
    assert given(machine.power).link == plant.mqtt[0].link.tag


def test_a_summary_tells_what_would_be_collected(compiled: Compile) -> None:
    plant = compiled(
        line(
            '{id: a, name: Press 1, connection: plc, counts: {good: {node: "ns=2;s=A"}, scrap: {node: "ns=2;s=B"}}}',
            "{id: b, connection: floor, counts: {good: {topic: t}}}",
        )
    )
    told = summary(plant)
    assert [(one.connection, one.protocol, one.items) for one in told.connections] == [
        ("plc", "opcua", 2),
        ("floor", "mqtt", 1),
    ]
    assert [(m.machine, m.name, m.signals, m.connections) for m in told.lines[0].machines] == [
        ("a", "Press 1", 2, ("plc",)),
        ("b", "b", 1, ("floor",)),
    ]
    assert told.signals == 3
    assert told.as_dict()["warnings"] == plant.warnings


def test_quantities_are_those_of_the_engine(compiled: Compile) -> None:
    counts = ", ".join(f'{quantity}: {{node: "ns=2;s={quantity}"}}' for quantity in Quantity)
    plant = compiled(line(f"{{id: a, connection: plc, counts: {{{counts}}}}}"))
    assert set(only(plant).counters) == set(Quantity)
