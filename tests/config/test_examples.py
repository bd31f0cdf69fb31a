"""The examples compile, and everything that ships beside them is what the code says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from config import json_schema
from kpi.plant import Carrier, Quantity, State, Switch
from tests.config.examples import EXAMPLES, ROOT, compiled_example, compiled_text

CONFIG_BLOCK = re.compile(r"^```ya?ml[^\n]*\n(?P<text>.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_compiles_without_warnings(path: Path, tmp_path: Path) -> None:
    compiled = compiled_example(path, tmp_path)
    left_out = {
        "no calendar: work is taken to be planned around the clock",
        "no `factors.grid`: CO2e of electricity cannot be had",
    }
    allowed = left_out if path.stem == "minimal" else set()
    assert set(compiled.warnings) <= allowed


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_tells_editors_its_schema(path: Path) -> None:
    assert path.read_text(encoding="utf-8").splitlines()[0] == "# yaml-language-server: $schema=../schema.json"


def test_the_shipped_schema_is_the_one_that_the_command_prints() -> None:
    """To renew it: `edge-agent schema > config/schema.json`."""
    shipped = (ROOT / "config" / "schema.json").read_text(encoding="utf-8")
    assert json.loads(shipped) == json_schema()


def test_every_configuration_in_the_readme_compiles(tmp_path: Path) -> None:
    """A YAML block of the README that begins with options of a plant is a configuration."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for block in CONFIG_BLOCK.finditer(text):
        if re.search(r"^(plant|lines):", block["text"], re.MULTILINE):
            compiled_text(block["text"], tmp_path)


def test_the_minimal_example_is_about_twenty_lines_and_one_machine(tmp_path: Path) -> None:
    path = next(path for path in EXAMPLES if path.stem == "minimal")
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 22
    assert len(compiled_example(path, tmp_path).plant.machines) == 1


def test_the_mixed_plant_means_what_its_comments_say(tmp_path: Path) -> None:
    compiled = compiled_example(next(path for path in EXAMPLES if path.stem == "mixed-plant"), tmp_path)
    machines = {machine.id: machine for machine in compiled.plant.machines}
    connections = {one.name: one for one in compiled.opcua}
    assert connections["machining"].password == "secret of opcua-password"
    assert connections["machining"].security == "Basic256Sha256,SignAndEncrypt"
    assert compiled.mqtt[0].port == 8883
    assert compiled.mqtt[0].password == "secret of mqtt-password"
    assert compiled.influx is not None
    assert compiled.influx.token == "token-of-the-test"
    assert machines["cnc-01"].state_model is machines["cnc-05"].state_model
    assert [shift.name for shift in machines["packer-01"].calendar.shifts] == ["night", "early", "late"]
    assert machines["packer-01"].calendar.holidays == machines["cnc-01"].calendar.holidays
    assert machines["press-01"].counters[Quantity.TOTAL].modulus == 131_072
    assert machines["packer-01"].calendar.exceptions == ()
    assert (
        len(machines["palletizer-01"].calendar.planned_stops) == len(machines["packer-01"].calendar.planned_stops) + 1
    )
    assert len(machines["cnc-01"].calendar.exceptions) == 2
    assert all(machine.overtime_apart for machine in machines.values())
    assert machines["cnc-01"].reasons is machines["cnc-02"].reasons
    assert State.PLANNED_MAINTENANCE in machines["cnc-01"].reasons.values()
    assert compiled.reasons["cnc-01"][0].group == ("Technical", "Tool")
    furnace = machines["furnace-01"]
    assert [signal.switch for signal in furnace.state_signals] == [Switch(40, 30), Switch(2, 1)]
    assert furnace.counters[Quantity.GOOD].event
    assert set(furnace.media) == {Carrier.GAS, Carrier.WATER}
    assert {factor.carrier for factor in compiled.plant.factors} == {None, "gas", "steam", "water", "heat"}
    energy = machines["cnc-01"].energy
    assert energy is not None
    assert energy.modulus == pytest.approx(99_999.999)
    for secret in ("secret of", "token-of-the-test"):
        assert secret not in repr(compiled)
