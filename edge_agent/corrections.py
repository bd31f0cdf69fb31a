"""How far back samples still correct what was said: what is held for it, what it takes, and what is folded again now.

Rule: facts for JSON are made here and worded here, so that status, validate and logs say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from edge_agent.journal import ArchiveFacts
from kpi.elements import HOUR_NS

_DAY_NS: Final = 24 * HOUR_NS

BYTES_A_SAMPLE: Final = 3
"""What a sample that is kept for corrections takes on disk, about: 2 to 4 as measured by bench/corrections.py."""

_SPARE: Final = 1.05
"""Of the size that is advised: rates are never quite the same."""


def correction_facts(
    archive: ArchiveFacts,
    *,
    closed: int,
    keep_from: int,
    horizon_ns: int,
    most_bytes: int,
    journal_bytes: int,
    restating: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Ready for JSON: what samples are held, and how much of the horizon the journal has room for.

    closed: up to when minutes are closed, ns. keep_from: from when on samples are in memory, ns. most_bytes,
    journal_bytes: how large the journal may be and is. `room_ns`: how far back samples can be held at the rate of those
    that are, `needed_bytes`: how large it has to be for all of the horizon; None where too few are held to tell.
    """
    since = max(keep_from if archive.since is None else archive.since, closed - horizon_ns)
    span = keep_from - since
    room_ns = needed = None
    if archive.bytes and span >= HOUR_NS:
        others = max(0, journal_bytes - archive.bytes)
        room_ns = int(max(0, most_bytes - others) / archive.bytes * span)
        needed = int((others + archive.bytes / span * horizon_ns) * _SPARE)
    return {
        "horizon_ns": horizon_ns,
        "since": since,
        "held_ns": max(0, closed - since),
        "archive_bytes": archive.bytes,
        "archive_blocks": archive.blocks,
        "room_ns": room_ns,
        "needed_bytes": needed,
        "journal_most_bytes": most_bytes,
        "shortened": archive.dropped > 0 and since > closed - horizon_ns + HOUR_NS,
        "restating": None if restating is None else dict(restating),
    }


def correction_words(facts: Mapping[str, Any], timezone: str) -> list[str]:
    """The facts in sentences. timezone: IANA name, for the times in them."""
    horizon, held = facts["horizon_ns"], facts.get("held_ns")
    words = [f"back to {_moment(facts['since'], timezone)}; {_size(facts['archive_bytes'])} of samples are kept for it"]
    if held is not None:
        words[0] = f"{_days(held)} of {_days(horizon)}, {words[0]}"
    room = facts.get("room_ns")
    if room is not None and room < horizon:
        most, needed = _size(facts["journal_most_bytes"]), _size(facts["needed_bytes"])
        words.append(
            f"{_days(horizon)} do not fit: at the present rate `agent.journal_size` of {most} holds about "
            f"{_days(room)}; make it {needed}, or `agent.correction_horizon` shorter"
        )
    elif facts["shortened"]:
        words.append("older ones did not fit into `agent.journal_size`")
    restating = facts.get("restating")
    if restating is not None:
        words.append(_restating(restating, timezone))
    return words


def estimate(signals: int, horizon_ns: int, most_bytes: int) -> str | None:
    """A warning where the horizon would not fit if every signal changed once a second; None where it would."""
    needed = signals * BYTES_A_SAMPLE * horizon_ns / 1e9
    if needed <= most_bytes:
        return None
    return (
        f"if each of the {signals:,} signals that figures are made from changed once a second, samples for corrections "
        f"over {_days(horizon_ns)} would take about {_size(needed)}, and `agent.journal_size` is {_size(most_bytes)}: "
        "the oldest would go first; `edge-agent status` says how far back samples are held"
    )


def _restating(facts: Mapping[str, Any], timezone: str) -> str:
    since, until, reached = (_moment(facts[name], timezone) for name in ("since", "until", "reached"))
    rows = f"{facts['changed_rows']:,} rows"
    if facts["percent"] == 100:
        return f"the past was restated after an edit, from {since} to {until}: {rows} came out otherwise"
    return (
        f"the past is being restated after an edit, from {since} to {until}: {facts['percent']} % done, up to "
        f"{reached}, {rows} otherwise so far; figures since then still change"
    )


def _days(ns: int) -> str:
    if ns < _DAY_NS:
        return f"{ns / HOUR_NS:.1f} h"
    days = f"{round(ns / _DAY_NS, 1):g}"
    return f"{days} day" if days == "1" else f"{days} days"


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _moment(at: int, timezone: str) -> str:
    return f"{datetime.fromtimestamp(at / 1e9, UTC).astimezone(ZoneInfo(timezone)):%Y-%m-%d %H:%M:%S}"
