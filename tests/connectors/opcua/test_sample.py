"""The documented sample of an OPC UA connection is complete and loads."""

from __future__ import annotations

from pathlib import Path

import connectors.opcua
from config.loader import load
from config.models import OpcUaConnection, Security

SAMPLE = Path(connectors.opcua.__file__).parent / "sample.yaml"
PLANT = """
plant: {enterprise: Demo Works, site: demo, time_zone: Asia/Shanghai}
calendar:
  shifts: [{name: early, start: "06:00", end: "14:00", days: [mon]}]
profiles:
  cnc:
    connection: machining
    state: {signals: {item: {node: "ns=2;s={machine}.State"}}, rules: [{when: {item: 3}, state: producing}]}
    counts: {good: {node: "nsu=urn:maker;s={machine}.Good"}, scrap: {node: "/2:{machine}/nsu=urn:maker;Scrap"}}
lines: [{name: machining, machines: [{id: cnc-01, profile: cnc}]}]
"""


def test_the_sample_shows_every_option_and_its_default(tmp_path: Path) -> None:
    plant = tmp_path / "plant.yaml"
    plant.write_text(SAMPLE.read_text() + PLANT)
    machining = load(plant, {"OPCUA_PASSWORD": "x"}).connections["machining"]
    assert isinstance(machining, OpcUaConnection)
    assert machining.model_fields_set == set(OpcUaConnection.model_fields)
    assert isinstance(machining.security, Security)
    assert machining.security.model_fields_set == set(Security.model_fields)
    for name, option in OpcUaConnection.model_fields.items():
        if not option.is_required() and option.default is not None:
            assert getattr(machining, name) == option.default, name
