"""What a replay did, in figures: for a table in the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from connectors.replay import FileNote

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
    span: first and last edge of the covered time, ns; None where there was nothing. minutes_*: machine-minutes.
    refused: machine-minutes, of old time machine-hours, that are there already and differ from what the files say.
    kept, duplicate: samples that changed something, and those of minutes that were known already.
    known_share: share of planned busy time with good data, None where none was planned. notes: sentences.
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
        zone = ZoneInfo(self.timezone)
        first, last = (datetime.fromtimestamp(edge // 1_000_000_000, UTC).astimezone(zone) for edge in self.span)
        return first.isoformat(), last.isoformat()

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
