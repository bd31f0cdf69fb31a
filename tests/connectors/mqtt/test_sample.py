"""The documented sample of an MQTT connection is complete and loads."""

from __future__ import annotations

from pathlib import Path

import connectors.mqtt
from config.loader import load
from config.models import MqttConnection, Tls

SAMPLE = Path(connectors.mqtt.__file__).parent / "sample.yaml"
PLANT = """
plant: {enterprise: Demo Works, site: demo, time_zone: Asia/Shanghai}
calendar:
  shifts: [{name: early, start: "06:00", end: "14:00", days: [mon]}]
profiles:
  station:
    connection: floor
    topic: "plant/{machine}/status"
    time: {path: ts, unit: ms}
    state: {signals: {status: {path: state}}, rules: [{when: {status: RUN}, state: producing}]}
    counts: {good: {path: counts.good}}
lines: [{name: packaging, machines: [{id: pack-01, profile: station}]}]
"""


def test_the_sample_shows_every_option_and_its_default(tmp_path: Path) -> None:
    plant = tmp_path / "plant.yaml"
    plant.write_text(SAMPLE.read_text() + PLANT)
    floor = load(plant, {"MQTT_PASSWORD": "x"}).connections["floor"]
    assert isinstance(floor, MqttConnection)
    assert floor.model_fields_set == set(MqttConnection.model_fields)
    assert isinstance(floor.tls, Tls)
    assert floor.tls.model_fields_set == set(Tls.model_fields)
    for name, option in MqttConnection.model_fields.items():
        if not option.is_required() and option.default is not None:
            assert getattr(floor, name) == option.default, name
