"""One line for one fact: JSON lines for machines, readable for people, and a fault once a period."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from edge_agent.logs import Events, ForPeople, LogLevel, OncePer, configure


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What is logged; the root logger is put back as it was."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    chatter = {name: logging.getLogger(name).level for name in ("asyncua", "amqtt", "paho")}
    out = io.StringIO()
    configure(LogLevel.INFO, out)
    yield out
    root.handlers[:] = before
    root.setLevel(level)
    for name, was in chatter.items():
        logging.getLogger(name).setLevel(was)


def test_an_event_is_one_json_line_with_its_facts(stream: io.StringIO) -> None:
    Events("press").warning("batch_rejected", connection="press", samples=312)
    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "warning",
        "logger": "edge_agent.press",
        "event": "batch_rejected",
        "connection": "press",
        "samples": 312,
    }


def test_the_extra_of_a_plain_log_call_is_taken_as_facts(stream: io.StringIO) -> None:
    logging.getLogger("connectors.mqtt").warning("message_lost", extra={"connection": "floor"})
    assert json.loads(stream.getvalue())["connection"] == "floor"


def test_a_fault_of_ours_has_its_traceback_in_the_same_line(stream: io.StringIO) -> None:
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        Events("x").exception("tick_failed")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    assert "RuntimeError: broken" in json.loads(lines[0])["traceback"]


def test_libraries_that_chatter_are_heard_at_debug_only(stream: io.StringIO) -> None:
    logging.getLogger("asyncua.client").error("connection lost, with a long story")
    logging.getLogger("amqtt.broker").warning("again")
    assert stream.getvalue() == ""
    configure(LogLevel.DEBUG, stream)
    logging.getLogger("asyncua.client").error("heard")
    assert "heard" in stream.getvalue()


def test_what_health_says_of_all_protocols_alike_is_not_said_twice(stream: io.StringIO) -> None:
    logging.getLogger("connectors.opcua.connector").warning("connection_down", extra={"connection": "press"})
    Events("health").warning("connection_down", connection="press")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["logger"] for line in lines] == ["edge_agent.health"]


def test_for_people_an_event_is_a_line_with_quoted_facts_where_needed() -> None:
    record = logging.makeLogRecord(
        {"msg": "connection_down", "levelname": "WARNING", "facts": {"connection": "press", "reason": "no answer"}}
    )
    line = ForPeople(colour=False).format(record)
    assert line.endswith('warning  connection_down connection=press reason="no answer"')


def test_a_fault_that_repeats_is_said_at_once_and_then_once_a_period_with_its_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr("edge_agent.logs.time.monotonic", lambda: now)
    often = OncePer(60.0)
    assert often.count("full") == 1
    assert [often.count("full") for _ in range(5)] == [0] * 5
    assert often.count("other") == 1
    now = 61.0
    assert often.count("full") == 6
    assert often.count("full", 0) == 0
    now = 200.0
    assert often.count("full", 0) == 0, "nothing happened, so there is nothing to say"
