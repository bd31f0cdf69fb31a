"""Ready-made state models from a CSV of a historian to the states in the journal, through `edge-agent replay`."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_agent.cli import app
from edge_agent.journal import JournalReader
from kpi.plant import State

BEGIN = 1_790_000_040  # s, a whole minute of a Monday in September 2026
SECOND = 1_000_000_000

PLANT = """
plant: {{site: works, time_zone: UTC}}
agent: {{journal: {folder}/plant.journal}}
connections: {{plc: {{type: opcua, endpoint: "opc.tcp://10.0.0.1:4840"}}}}
lines:
  - name: l
    machines:
      - id: m
        connection: plc
        state: {{{state}}}
"""


def states_of(folder: Path, state: str, rows: list[str]) -> list[tuple[int, State]]:
    """(seconds, state) of the machine, one after the other. rows: `second signal value quality`."""
    yaml, history = folder / "plant.yaml", folder / "history.csv"
    yaml.write_text(PLANT.format(folder=folder, state=state), encoding="utf-8")
    cells = [row.split(" ") for row in rows]
    lines = [f"{BEGIN + int(second)},m.state.{signal},{value},{quality}" for second, signal, value, quality in cells]
    history.write_text("time,tag,value,quality\n" + "\n".join(lines) + "\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["replay", str(yaml), str(history)])
    assert result.exit_code == 0, result.output
    with JournalReader(folder / "plant.journal") as reader:
        intervals = reader.intervals(0, (BEGIN + 10_000) * SECOND).sort("start")
    found = [(row["end"] - row["start"], State(row["state"])) for row in intervals.to_dicts()]
    return [
        (sum(ns for ns, _ in parts) // SECOND, state)
        for state, parts in ((state, list(run)) for state, run in groupby(found, lambda one: one[1]))
    ]


def signals(model: str, *names: str) -> str:
    listed = ", ".join(f'{name}: {{node: "ns=2;s={name}"}}' for name in names)
    return f"model: {model}, signals: {{{listed}}}"


@pytest.mark.parametrize(("mode", "lost"), [("3", State.STOPPED), ("0", State.OFF), ("1", State.MAINTENANCE)])
def test_a_machine_that_is_not_available_is_judged_by_the_mode_that_it_sent_last(
    tmp_path: Path, mode: str, lost: State
) -> None:
    """Two hours in which the mode is bad and the item state says, good, that the machine is off."""
    rows = ["0 item 3 good", "0 mode 3 good", "600 item 0 good", f"600 mode {mode} good", "610 mode 9 bad"]
    rows += [f"{second} mode 9 bad" for second in range(900, 7800, 300)]
    rows += ["7800 item 3 good", "7800 mode 3 good", "7860 item 3 good"]
    found = states_of(tmp_path, signals("machinery", "item", "mode"), rows)
    assert (7200, lost) in found
    assert all(state is not State.UNKNOWN for _, state in found)
    assert found[-1][1] is State.PRODUCING


def test_a_machine_whose_item_state_is_bad_too_is_unknown(tmp_path: Path) -> None:
    rows = [
        "0 item 3 good",
        "0 mode 3 good",
        "600 item 0 bad",
        "600 mode 3 bad",
        "1200 item 3 good",
        "1200 mode 3 good",
    ]
    found = states_of(tmp_path, signals("machinery", "item", "mode"), [*rows, "1260 mode 3 good"])
    assert found[:2] == [(600, State.PRODUCING), (600, State.UNKNOWN)]


def test_mtconnect_tells_faults_editing_and_handling_of_parts(tmp_path: Path) -> None:
    rows = [
        "0 execution ACTIVE good", "0 controller_mode AUTOMATIC good", "0 condition NORMAL good",
        "0 wait_state UNAVAILABLE good",
        "60 execution WAIT good", "60 wait_state PART_LOAD good", "120 wait_state TOOL_LOAD good",
        "180 execution ACTIVE good", "240 controller_mode EDIT good", "300 controller_mode AUTOMATIC good",
        "360 condition FAULT good", "420 condition WARNING good", "480 condition NORMAL good",
    ]  # fmt: skip
    names = ("execution", "controller_mode", "condition", "wait_state")
    found = states_of(tmp_path, signals("mtconnect", *names) + ", handling_in_cycle: true", rows)
    assert found[:6] == [
        (120, State.PRODUCING), (60, State.STOPPED), (60, State.PRODUCING), (60, State.SETUP), (60, State.PRODUCING),
        (60, State.BREAKDOWN),
    ]  # fmt: skip
