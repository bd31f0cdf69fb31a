"""What the agent knows of its own condition: said once in the log, kept for `status`, sent as `agent` points.

Rule: a fact is logged when it changes, a fault at most once a period with its count; the numbers are always in the
snapshot. Nothing here decides anything.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from connectors import ConnectionHealth, ConnectionState, Fault
from edge_agent.logs import Events, OncePer

_log = Events("health")

REPLAYED: Final = "replayed"
"""Marks what a replay leaves in place of an agent's condition, in a journal in which no agent has said anything."""

_MOST_SET_ASIDE_SHOWN = 50  # per connection in the snapshot: a wrong namespace sets thousands aside for one reason


@dataclass(slots=True)
class LoopLag:
    """How late the event loop runs what is due: the sign of something that blocks it."""

    worst_seconds: float = 0.0
    latest_seconds: float = 0.0

    def note(self, late_seconds: float) -> None:
        """Take on one measurement."""
        self.latest_seconds = late_seconds
        self.worst_seconds = max(self.worst_seconds, late_seconds)


@dataclass(slots=True)
class Health:
    """Everything about the agent's condition, gathered by the pipeline.

    faults: decisions of the engine and of the pipeline since the start, by name. restarts: of connectors that raised.
    """

    started: int
    lag: LoopLag = field(default_factory=LoopLag)
    faults: Counter[str] = field(default_factory=Counter)
    restarts: Counter[str] = field(default_factory=Counter)
    commit_failures: int = 0
    ticks: int = 0
    samples: int = 0
    last_tick_seconds: float = 0.0
    _states: dict[str, tuple[ConnectionState, int]] = field(default_factory=dict)
    _seen: dict[tuple[str, Fault], int] = field(default_factory=dict)
    _aside: dict[str, frozenset[str]] = field(default_factory=dict)
    _often: OncePer = field(default_factory=OncePer)

    def note(self, faults: Mapping[str, int], *, period_key: str = "engine") -> None:
        """Count decisions by name, and say each at most once a period."""
        for name, n in faults.items():
            if n > 0:
                self.faults[name] += n
                said = self._often.count((period_key, name), n)
                if said:
                    _log.warning("samples_judged", by=period_key, verdict=name, times=said)

    def observe(self, connections: Iterable[ConnectionHealth]) -> None:
        """Log what changed since the last look: connections that came up or went down, faults, items set aside."""
        for connection in connections:
            self._observe_state(connection)
            self._observe_faults(connection)
            self._observe_set_aside(connection)

    def _observe_state(self, now: ConnectionHealth) -> None:
        before, reconnects = self._states.get(now.name, (None, 0))
        self._states[now.name] = (now.state, now.reconnects)
        if before == now.state and now.reconnects == reconnects:
            return
        facts = {"connection": now.name, "endpoint": now.endpoint}
        if now.state is ConnectionState.UP:
            counts = {"configured": now.configured, "accepted": now.accepted, "reconnects": now.reconnects}
            _log.info("connection_up", **facts, **counts)
        elif now.state is ConnectionState.DOWN:
            _log.warning("connection_down", **facts, reason=now.detail)
        else:
            _log.debug(f"connection_{now.state}", **facts)

    def _observe_faults(self, now: ConnectionHealth) -> None:
        for fault, total in now.faults.items():
            key = (now.name, fault)
            fresh = total - self._seen.get(key, 0)
            self._seen[key] = total
            # asked at every look, also with nothing fresh, so that what was kept quiet is said when its period is over
            said = self._often.count(key, max(fresh, 0))
            if said:
                example = now.fault_examples.get(fault, "")
                _log.warning("bad_input", connection=now.name, fault=str(fault), times=said, example=example)

    def _observe_set_aside(self, now: ConnectionHealth) -> None:
        items = frozenset(entry.item for entry in now.set_aside)
        before = self._aside.get(now.name, frozenset())
        self._aside[now.name] = items
        fresh = [entry for entry in now.set_aside if entry.item not in before]
        if fresh:
            one = fresh[0]
            _log.warning(
                "items_set_aside",
                connection=now.name,
                items=len(fresh),
                first=one.item,
                reason=one.reason,
                hint=one.hint,
            )
        if before - items:
            _log.info("items_back", connection=now.name, items=len(before - items))

    def snapshot(self, clock: int) -> dict[str, Any]:
        """The agent's own figures, ready for JSON. clock: ns since the epoch by the agent's clock."""
        return {
            "time": clock,
            "wall_time": time.time_ns(),
            "started": self.started,
            "ticks": self.ticks,
            "samples": self.samples,
            "last_tick_seconds": round(self.last_tick_seconds, 6),
            "loop_lag_seconds": round(self.lag.latest_seconds, 6),
            "worst_loop_lag_seconds": round(self.lag.worst_seconds, 6),
            "commit_failures": self.commit_failures,
            "faults": dict(self.faults),
            "restarts": dict(self.restarts),
        }


def connection_facts(connection: ConnectionHealth) -> dict[str, Any]:
    """A connection's health, ready for JSON: the three counts, faults with an example each, and what is set aside."""
    return {
        "name": connection.name,
        "protocol": connection.protocol,
        "endpoint": connection.endpoint,
        "state": str(connection.state),
        "since": connection.since,
        "configured": connection.configured,
        "accepted": connection.accepted,
        "delivering": connection.delivering,
        "detail": connection.detail,
        "reconnects": connection.reconnects,
        "samples": connection.samples,
        "last_sample": connection.last_sample,
        "faults": {str(fault): n for fault, n in connection.faults.items()},
        "fault_examples": {str(fault): text for fault, text in connection.fault_examples.items()},
        "set_aside": [
            {"item": entry.item, "fault": str(entry.fault), "reason": entry.reason, "hint": entry.hint}
            for entry in connection.set_aside[:_MOST_SET_ASIDE_SHOWN]
        ],
        "set_aside_count": len(connection.set_aside),
    }
