"""Health: what changes is logged once, what repeats once a period, and the snapshot has all the numbers."""

from __future__ import annotations

import logging

import pytest

from connectors import ConnectionHealth, ConnectionState, Fault, SetAside
from edge_agent.health import Health, connection_facts


def connection(state: ConnectionState, *, reconnects: int = 0, **more: object) -> ConnectionHealth:
    return ConnectionHealth("press", "opcua", "opc.tcp://press", state, 5, 10, 9, 8, "why", reconnects, **more)  # type: ignore[arg-type]


@pytest.fixture
def events(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="edge_agent")
    return caplog


def said(events: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in events.records]
    events.clear()
    return found


def test_a_connection_is_said_to_be_up_or_down_when_it_changes_and_after_a_flap_between_two_looks(
    events: pytest.LogCaptureFixture,
) -> None:
    health = Health(started=0)
    health.observe([connection(ConnectionState.UP)])
    assert said(events) == ["connection_up"]
    health.observe([connection(ConnectionState.UP)])
    assert said(events) == []
    health.observe([connection(ConnectionState.DOWN)])
    health.observe([connection(ConnectionState.DOWN)])
    assert said(events) == ["connection_down"]
    health.observe([connection(ConnectionState.UP, reconnects=1)])
    health.observe([connection(ConnectionState.UP, reconnects=2)])
    assert said(events) == ["connection_up", "connection_up"]


def test_a_thousand_bad_values_are_one_line_with_their_number(events: pytest.LogCaptureFixture) -> None:
    health = Health(started=0)
    bad = {Fault.NOT_FINITE: 1000}
    health.observe([connection(ConnectionState.UP, faults=bad, fault_examples={Fault.NOT_FINITE: "Temp: NaN"})])
    health.observe([connection(ConnectionState.UP, faults={Fault.NOT_FINITE: 1500})])
    lines = [record for record in events.records if record.getMessage() == "bad_input"]
    assert len(lines) == 1
    assert lines[0].facts == {  # type: ignore[attr-defined]
        "connection": "press",
        "fault": "not_finite",
        "times": 1000,
        "example": "Temp: NaN",
    }


def test_items_set_aside_are_told_together_and_again_when_they_are_back(events: pytest.LogCaptureFixture) -> None:
    health = Health(started=0)
    aside = tuple(SetAside(f"ns=2;i={n}", Fault.UNKNOWN_NODE, "the server does not know it") for n in range(3000))
    health.observe([connection(ConnectionState.UP, set_aside=aside)])
    health.observe([connection(ConnectionState.UP, set_aside=aside)])
    assert said(events) == ["connection_up", "items_set_aside"]
    health.observe([connection(ConnectionState.UP)])
    assert said(events) == ["items_back"]
    facts = connection_facts(connection(ConnectionState.UP, set_aside=aside))
    assert facts["set_aside_count"] == 3000
    assert len(facts["set_aside"]) == 50


def test_verdicts_are_counted_all_and_said_once(events: pytest.LogCaptureFixture) -> None:
    health = Health(started=0)
    for _ in range(10):
        health.note({"duplicate": 2})
    assert said(events) == ["samples_judged"]
    assert health.snapshot(0)["faults"] == {"duplicate": 20}
