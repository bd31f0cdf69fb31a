"""Ready-made state models as tables: for each, what a machine says and what it is doing then."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from config import CompiledPlant, load_and_compile
from config.stack_light import COLOURS, LAMPS, USUAL
from config.state_models import READY_MODELS
from connectors.texts import TextCodes
from kpi.plant import Machine, State, Switch
from kpi.states import apply_rules

HEAD = """
plant: {site: north, time_zone: Asia/Shanghai}
connections: {plc: {type: opcua, endpoint: "opc.tcp://10.0.0.1:4840"}}
"""

Said = dict[str, int | str]
Table = list[tuple[str, State]]


def compiled(state: str, folder: Path, texts: TextCodes | None = None) -> CompiledPlant:
    """A plant of one machine `a` with these state options."""
    path = folder / "plant.yaml"
    machine = f"{{id: a, connection: plc, state: {{{state}}}}}"
    path.write_text(f"{HEAD}lines: [{{name: l, machines: [{machine}]}}]\n", encoding="utf-8")
    return load_and_compile(path, texts, {})


def machine_of(state: str, folder: Path, texts: TextCodes | None = None) -> Machine:
    (machine,) = compiled(state, folder, texts).plant.machines
    return machine


def signals(model: str, names: list[str]) -> str:
    """State options of a model with signals, those that need it with a switch."""
    switch = ", switch: {on: 5, off: 3}"
    listed = ", ".join(
        f'{name}: {{node: "ns=2;s={name}"{switch if name in READY_MODELS[model].switched else ""}}}' for name in names
    )
    return f"model: {model}, signals: {{{listed}}}"


def judged(machine: Machine, said: Said, texts: TextCodes) -> State:
    """What the engine makes of good values of all signals."""
    model = machine.state_model
    value = [np.array([texts.code(v) if isinstance(v := said[name], str) else v], np.float64) for name in model.signals]
    state, _ = apply_rules(model, value, [np.ones(1, np.bool_)] * len(value), 1)
    return State(int(state[0]))


def read(row: str) -> Said:
    """`item=3 mode=2` as values."""
    pairs = (pair.split("=") for pair in row.split())
    return {name: int(value) if value.isdigit() else value for name, value in pairs}


P, S, STOP, DOWN, IDLE, OFF = (
    State.PRODUCING, State.SETUP, State.STOPPED, State.BREAKDOWN, State.IDLE, State.OFF,
)  # fmt: skip
CORRECTIVE, PLANNED = State.MAINTENANCE, State.PLANNED_MAINTENANCE

TABLES: Final[dict[str, Table]] = {
    # OPC 40001-1, Annex C, whose last column is `order`. NotAvailable 0 … Executing 3; None 0 … Processing 3.
    "machinery": [
        # The rows that can be read of its Table 68; `MACHINERY` has all combinations.
        ("item=1 mode=3 order=1", DOWN), ("item=0 mode=3 order=1", STOP), ("item=2 mode=0 order=1", STOP),
        ("item=2 mode=3 order=1", STOP), ("item=1 mode=0 order=0", OFF), ("item=0 mode=0 order=0", OFF),
        ("item=2 mode=0 order=0", IDLE), ("item=1 mode=1 order=0", PLANNED), ("item=1 mode=2 order=0", PLANNED),
        ("item=0 mode=2 order=0", PLANNED), ("item=0 mode=1 order=0", PLANNED), ("item=2 mode=1 order=0", PLANNED),
        ("item=2 mode=2 order=0", PLANNED),
        # without the mode
        ("item=3", P), ("item=2", IDLE), ("item=1", DOWN), ("item=0", OFF), ("item=2 order=1", STOP),
        ("item=1 order=0", OFF), ("item=1 order=1", DOWN), ("item=0 order=0", OFF), ("item=0 order=1", STOP),
    ],
    # OPC 40501-1 v1.01, Annex C
    "machine_tool": [
        ("item=3 mode=3", P), ("item=3 mode=2", S), ("item=2 mode=3", IDLE), ("item=2 mode=2", IDLE),
        ("item=1 mode=3", DOWN), ("item=1 mode=2", DOWN), ("item=0 mode=3", OFF), ("item=3 mode=1", CORRECTIVE),
        ("item=3 mode=0", P),
    ],
    # ISA-TR88.00.02, all seventeen states in production, then what modes and interlocks change
    "packml": [
        ("state=1 mode=1", STOP), ("state=2 mode=1", STOP), ("state=3 mode=1", S), ("state=4 mode=1", IDLE),
        ("state=5 mode=1", State.STARVED), ("state=6 mode=1", P), ("state=7 mode=1", STOP), ("state=8 mode=1", DOWN),
        ("state=9 mode=1", DOWN), ("state=10 mode=1", STOP), ("state=11 mode=1", STOP), ("state=12 mode=1", STOP),
        ("state=13 mode=1", State.STARVED), ("state=14 mode=1", State.STARVED), ("state=15 mode=1", S),
        ("state=16 mode=1", P), ("state=17 mode=1", IDLE), ("state=6 mode=2", CORRECTIVE), ("state=6 mode=3", S),
        ("state=6 mode=4", P), ("state=18 mode=1", State.UNKNOWN), ("state=6", P),
        ("state=5 blocked=1 starved=0", State.BLOCKED), ("state=5 blocked=0 starved=1", State.STARVED),
        ("state=5 blocked=0 starved=0", State.STARVED), ("state=5 blocked=1 starved=1", State.BLOCKED),
        ("state=4 order=1", STOP), ("state=4 order=0", IDLE), ("state=2 order=0", IDLE), ("state=2 order=1", STOP),
        ("state=9 mode=2 order=0", PLANNED), ("state=9 mode=2 order=1", CORRECTIVE),
    ],
    "mtconnect": [
        ("execution=ACTIVE", P), ("execution=READY", IDLE), ("execution=STOPPED", IDLE),
        ("execution=PROGRAM_COMPLETED", IDLE), ("execution=INTERRUPTED", STOP), ("execution=FEED_HOLD", STOP),
        ("execution=OPTIONAL_STOP", STOP), ("execution=PROGRAM_OPTIONAL_STOP", STOP),
        ("execution=PROGRAM_STOPPED", STOP), ("execution=WAIT", STOP), ("execution=UNAVAILABLE", State.UNKNOWN),
        ("execution=READY order=1", STOP), ("execution=READY order=0", IDLE),
        ("execution=ACTIVE controller_mode=AUTOMATIC", P), ("execution=ACTIVE controller_mode=SEMI_AUTOMATIC", P),
        ("execution=ACTIVE controller_mode=MANUAL", S), ("execution=ACTIVE controller_mode=MANUAL_DATA_INPUT", S),
        ("execution=ACTIVE controller_mode=UNAVAILABLE", P), ("execution=READY controller_mode=MANUAL", IDLE),
        ("execution=ACTIVE controller_mode=EDIT", S), ("execution=READY controller_mode=EDIT", IDLE),
        ("execution=ACTIVE controller_mode=FEED_HOLD", STOP),
        ("execution=ACTIVE condition=FAULT", DOWN), ("execution=READY condition=Fault", DOWN),
        ("execution=ACTIVE condition=WARNING", P), ("execution=ACTIVE condition=NORMAL", P),
        ("execution=ACTIVE condition=UNAVAILABLE", P), ("execution=UNAVAILABLE condition=FAULT", State.UNKNOWN),
        ("execution=READY functional_mode=SETUP condition=FAULT", S),
        ("execution=READY functional_mode=MAINTENANCE condition=FAULT", CORRECTIVE),
        ("execution=READY functional_mode=MAINTENANCE condition=FAULT order=0", CORRECTIVE),
        ("execution=READY functional_mode=MAINTENANCE condition=NORMAL order=0", PLANNED),
        ("execution=WAIT wait_state=PART_LOAD", STOP), ("execution=WAIT wait_state=TOOL_LOAD", STOP),
        ("execution=ACTIVE availability=UNAVAILABLE", State.UNKNOWN), ("execution=ACTIVE availability=AVAILABLE", P),
        ("execution=ACTIVE emergency_stop=TRIGGERED", DOWN), ("execution=ACTIVE emergency_stop=ARMED", P),
        ("execution=ACTIVE functional_mode=PRODUCTION", P), ("execution=ACTIVE functional_mode=SETUP", S),
        ("execution=READY functional_mode=TEARDOWN", S), ("execution=ACTIVE functional_mode=PROCESS_DEVELOPMENT", S),
        ("execution=READY functional_mode=MAINTENANCE", CORRECTIVE),
        ("execution=READY functional_mode=MAINTENANCE order=0", PLANNED),
        ("execution=NO_SUCH_STATE", State.UNKNOWN),
    ],
    "run_fault": [
        ("run=1", P), ("run=0", STOP), ("run=1 fault=1", DOWN), ("run=1 fault=0", P), ("run=0 fault=0", STOP),
        ("run=0 order=0", IDLE), ("run=0 order=1", STOP),
    ],
    "power_threshold": [
        ("running=1", P), ("running=0", STOP), ("running=0 powered=1", STOP), ("running=0 powered=0", OFF),
        ("running=1 powered=0", P), ("running=1 fault=1", DOWN), ("running=0 order=0", IDLE),
    ],
    # IEC 60204-1 for the colours; OPC UA IA for colour and mode of a lamp of many colours
    "stack_light": [
        ("red=1", DOWN), ("green=1", P), ("yellow=1", STOP), ("blue=1", STOP), ("white=1", IDLE),
        ("red=0 yellow=0 green=0", OFF), ("red=1 yellow=1 green=1", DOWN), ("red=0 yellow=1 green=1", P),
        ("red=2", DOWN), ("green=2", P), ("red=1 red_mode=1", DOWN), ("green=0", OFF), ("green=3", State.UNKNOWN),
        ("cyan=1", State.UNKNOWN), ("colour=0", OFF), ("colour=1", DOWN), ("colour=2", P), ("colour=3", STOP),
        ("colour=4", STOP), ("colour=7", IDLE), ("colour=5", State.UNKNOWN), ("colour=2 colour_mode=1", P),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("model", "row", "state"), [(model, row, state) for model, table in TABLES.items() for row, state in table]
)
def test_a_ready_model_says_what_the_machine_is_doing(tmp_path: Path, model: str, row: str, state: State) -> None:
    said, texts = read(row), TextCodes()
    machine = machine_of(signals(model, list(said)), tmp_path, texts)
    assert judged(machine, said, texts) is state


# OPC 40001-1, Annex C, item state × operation mode, and whether an order is registered. A fault within an order is a
# breakdown in any mode; without one it is down time. Where the planning system does not tell of orders, Processing and
# Setup stand for one, None for none, and maintenance is not known to be planned.
MACHINERY: Final[dict[int | None, dict[int, tuple[State, ...]]]] = {
    # item   None  Maintenance Setup    Processing
    1: {
        0: (STOP, CORRECTIVE, S, STOP),
        1: (DOWN, CORRECTIVE, DOWN, DOWN),
        2: (STOP, CORRECTIVE, S, STOP),
        3: (P, CORRECTIVE, S, P),
    },
    0: {
        0: (OFF, PLANNED, PLANNED, OFF),
        1: (OFF, PLANNED, PLANNED, OFF),
        2: (IDLE, PLANNED, PLANNED, IDLE),
        3: (P, PLANNED, S, P),
    },
    None: {
        0: (OFF, CORRECTIVE, S, STOP),
        1: (OFF, CORRECTIVE, DOWN, DOWN),
        2: (IDLE, CORRECTIVE, S, STOP),
        3: (P, CORRECTIVE, S, P),
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("item", "mode", "order", "state"),
    [
        (item, mode, order, states[mode])
        for order, items in MACHINERY.items()
        for item, states in items.items()
        for mode in range(4)
    ],
)
def test_machinery_has_a_state_for_every_item_state_mode_and_order(
    tmp_path: Path, item: int, mode: int, order: int | None, state: State
) -> None:
    said: Said = {"item": item, "mode": mode}
    if order is not None:
        said["order"] = order
    assert judged(machine_of(signals("machinery", list(said)), tmp_path), said, TextCodes()) is state


def test_a_mode_counts_as_it_was_last_sent_while_the_item_is_not_available(tmp_path: Path) -> None:
    """By the numbers that the machine sends, and not at all where there is no mode."""
    assert machine_of(signals("machinery", ["item", "mode"]), tmp_path).state_model.last_sent == {
        "mode": {"item": frozenset({0.0})}
    }
    assert machine_of(signals("machinery", ["item"]), tmp_path).state_model.last_sent == {}
    mapped = 'model: machinery, signals: {item: {node: "ns=2;s=i", map: {7: 0, 8: 3}}, mode: {node: "ns=2;s=m"}}'
    assert machine_of(mapped, tmp_path).state_model.last_sent == {"mode": {"item": frozenset({7.0})}}


def test_waiting_for_parts_is_production_where_the_plant_says_that_the_cycle_includes_it(tmp_path: Path) -> None:
    for option, loading in (("true", P), ("false", STOP)):
        texts = TextCodes()
        state = signals("mtconnect", ["execution", "wait_state"]) + f", handling_in_cycle: {option}"
        machine = machine_of(state, tmp_path, texts)
        for wait, meant in (("PART_LOAD", loading), ("PART_UNLOAD", loading), ("TOOL_LOAD", STOP)):
            said: Said = {"execution": "WAIT", "wait_state": wait}
            assert judged(machine, said, texts) is meant, (option, wait)
        assert judged(machine, {"execution": "ACTIVE", "wait_state": "PART_LOAD"}, texts) is P


def test_every_ready_model_has_a_table() -> None:
    assert TABLES.keys() == READY_MODELS.keys()


@pytest.mark.parametrize("model", ["machinery", "machine_tool"])
def test_every_pair_of_item_state_and_mode_has_a_state(tmp_path: Path, model: str) -> None:
    """With order and without: no pair of the two state machines is left to chance."""
    for names in (["item", "mode"], ["item", "mode", "order"]):
        if not set(names) <= {*READY_MODELS[model].required, *READY_MODELS[model].optional}:
            continue
        machine = machine_of(signals(model, names), tmp_path)
        for item, mode, order in product(range(4), range(4), range(2)):
            said: Said = {"item": item, "mode": mode, "order": order}
            assert judged(machine, said, TextCodes()) is not State.UNKNOWN


def test_every_row_of_a_model_decides_something(tmp_path: Path) -> None:
    """A row that another one before it always hides would be a mistake in the table."""
    for name, model in READY_MODELS.items():
        for place, row in enumerate(model.rules):
            hidden = any(
                before.when.keys() <= row.when.keys()
                and all(set(row.when[signal]) <= set(before.when[signal]) for signal in before.when)
                for before in model.rules[:place]
            )
            assert not hidden, f"{name}, row {place}"


def test_own_rules_come_before_those_of_the_model(tmp_path: Path) -> None:
    machine = machine_of(signals("packml", ["state"]) + ", rules: [{when: {state: 11}, state: setup}]", tmp_path)
    assert judged(machine, {"state": 11}, TextCodes()) is State.SETUP
    assert judged(machine, {"state": 10}, TextCodes()) is State.STOPPED


def test_a_map_lets_numbers_speak_to_a_model_of_texts(tmp_path: Path) -> None:
    """As MTConnect over OPC UA, whose values are numbers of an enumeration."""
    state = 'model: mtconnect, signals: {execution: {node: "ns=2;s=E", map: {0: ACTIVE, 3: READY}}}'
    machine = machine_of(state, tmp_path)
    assert judged(machine, {"execution": 0}, TextCodes()) is State.PRODUCING
    assert judged(machine, {"execution": 3}, TextCodes()) is State.IDLE


def test_lamps_may_mean_what_the_plant_says(tmp_path: Path) -> None:
    """Only the meaning changes, not which of several lit lamps counts; a blinking one may mean something of its own."""
    lamps = "lamps: {yellow: blocked, green_blinking: setup, dark: idle, purple: maintenance}"
    machine = machine_of(
        signals("stack_light", ["red", "yellow", "green", "green_mode", "purple"]) + f", {lamps}", tmp_path
    )
    dark: Said = dict.fromkeys(["red", "yellow", "green", "green_mode", "purple"], 0)
    for row, state in [
        ("yellow=1", State.BLOCKED), ("yellow=2", State.BLOCKED), ("red=1 yellow=1", State.BREAKDOWN),
        ("green=1", State.PRODUCING), ("green=2", State.SETUP), ("green=1 green_mode=1", State.SETUP),
        ("green=1 green_mode=2", State.SETUP), ("green=0 green_mode=1", State.IDLE), ("", State.IDLE),
        ("purple=1", State.MAINTENANCE),
    ]:  # fmt: skip
        assert judged(machine, dark | read(row), TextCodes()) is state, row


def test_every_lamp_is_a_colour_lit_or_blinking_or_none() -> None:
    assert set(USUAL) <= set(LAMPS)
    assert len(LAMPS) == 2 * len(COLOURS) + 1


def test_a_threshold_keeps_the_scale_of_its_signal(tmp_path: Path) -> None:
    state = (
        'model: power_threshold, signals: {running: {node: "ns=2;s=I", scale: 0.1, offset: 1, switch: {on: 5, off: 3}}}'
    )
    plant = compiled(state, tmp_path)
    (signal,) = plant.plant.machines[0].state_signals
    assert signal.switch == Switch(5.0, 3.0)
    assert (plant.tags.scale[signal.tag], plant.tags.offset[signal.tag]) == (0.1, 1.0)


def test_a_switch_works_in_free_rules_too(tmp_path: Path) -> None:
    state = 'signals: {i: {node: "ns=2;s=I", switch: {on: 5, off: 3}}}, rules: [{when: {i: true}, state: producing}]'
    machine = machine_of(state, tmp_path)
    assert machine.state_model.rules[0].when == {"i": frozenset({1.0})}
    assert machine.state_signals[0].switch == Switch(5.0, 3.0)
