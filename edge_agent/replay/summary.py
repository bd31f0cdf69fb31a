"""What a replay did, in figures: for a table in the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from connectors.replay import FileNote
from edge_agent.replay.uncovered import NotCovered

MOST_UNKNOWN_SHOWN = 20


@dataclass(frozen=True, slots=True)
class UnknownTag:
    """A name in the files that the plant has no signal for. rows: how many had it. hint: `, did you mean …?`."""

    name: str
    rows: int
    hint: str


@dataclass(slots=True, eq=False)
class ReplaySummary:
    """What was read, what became of it, and what the operator should know.

    unread: files that could not be read, or not to their end; why, and what to do.
    received: values that the files hold; they are samples or set aside. faults: name → how often; examples: one each.
    silent_signals: signals of `machines` of which the files hold no value that can be read, links apart.
    not_covered: time of which no file speaks, see `edge_agent.replay.uncovered`; ns. joined: sentences.
    span: first and last edge of the covered time, ns; None where there was nothing. minutes_*: machine-minutes.
    refused: machine-minutes, of old time machine-hours, that are there already and differ from what the files say.
    kept, duplicate: samples that changed something, and those of minutes that were known already.
    known_share: share of planned busy time with good data, in what is covered; None where none was planned.
    notes: sentences.
    """

    timezone: str
    files: list[FileNote] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    received: int = 0
    samples: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, str] = field(default_factory=dict)
    unknown_tags: list[UnknownTag] = field(default_factory=list)
    unknown_tag_count: int = 0
    machines: list[str] = field(default_factory=list)
    machines_without_history: list[str] = field(default_factory=list)
    silent_signals: list[str] = field(default_factory=list)
    not_covered: list[NotCovered] = field(default_factory=list)
    joined: list[str] = field(default_factory=list)
    span: tuple[int, int] | None = None
    minutes_new: int = 0
    minutes_replaced: int = 0
    minutes_as_before: int = 0
    refused: int = 0
    kept: int = 0
    duplicate: int = 0
    decisions: dict[str, int] = field(default_factory=dict)
    known_share: float | None = None
    points_queued: int = 0
    points_waiting: int = 0
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def samples_per_second(self) -> float:
        """Samples by wall time, reading and writing included."""
        return self.samples / self.seconds if self.seconds else 0.0

    def moments(self) -> tuple[str, str] | None:
        """The span by the plant's clock."""
        if self.span is None:
            return None
        return self.local(self.span[0]).isoformat(), self.local(self.span[1]).isoformat()

    def local(self, at: int) -> datetime:
        """A time (ns) by the plant's clock."""
        return datetime.fromtimestamp(at // 1_000_000_000, UTC).astimezone(ZoneInfo(self.timezone))

    def facts(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {
            "files": [
                {
                    "path": note.path,
                    "form": note.form,
                    "layout": note.layout,
                    "columns": note.columns,
                    "rows": note.rows,
                    "samples": note.samples,
                }
                for note in self.files
            ],
            "unread": self.unread,
            "received": self.received,
            "samples": self.samples,
            "faults": {
                name: {"count": count, "example": self.examples.get(name, "")} for name, count in self.faults.items()
            },
            "unknown_tags": [{"name": one.name, "rows": one.rows, "hint": one.hint} for one in self.unknown_tags],
            "unknown_tag_count": self.unknown_tag_count,
            "machines": self.machines,
            "machines_without_history": self.machines_without_history,
            "silent_signals": self.silent_signals,
            "not_covered": [
                {
                    "start": self.local(one.start).isoformat(),
                    "end": self.local(one.end).isoformat(),
                    "machines": list(one.machines),
                }
                for one in self.not_covered
            ],
            "joined": self.joined,
            "span": self.moments(),
            "minutes": {
                "new": self.minutes_new,
                "replaced": self.minutes_replaced,
                "as_before": self.minutes_as_before,
                "refused": self.refused,
            },
            "kept": self.kept,
            "duplicate": self.duplicate,
            "decisions": self.decisions,
            "known_share": None if self.known_share is None else round(self.known_share, 6),
            "points_queued": self.points_queued,
            "points_waiting": self.points_waiting,
            "notes": self.notes,
            "seconds": round(self.seconds, 3),
            "samples_per_second": round(self.samples_per_second),
        }
