"""Logs as events: one name and its facts, one line each; for people on a terminal, as JSON lines otherwise.

Rule 1: a log call names an event and gives facts (`connection_down connection=press reason=…`), never prose.
Rule 2: what can happen a thousand times a second is said once a period with its count (`OncePer`).
Rule 3: libraries that log every lost packet are silenced; the facts they know are in the health.

Two ways were weighed: structlog, or forty lines over the standard library. The standard library won: connectors log
through it anyway, and one formatter then shows both alike.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Hashable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, TextIO

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
"""Attributes that every record has; whatever else is on a record was given as `extra` and is a fact of the event."""

_CHATTERING: Final = ("asyncua", "amqtt", "paho", "transitions", "asyncio", "urllib3", "passlib")
"""Libraries that report each lost connection several times over, with tracebacks; the connectors say it once."""

_SAID_BY_HEALTH: Final = frozenset({"connection_up", "connection_down", "item_set_aside"})
"""Events of connectors that `health` says for all protocols alike, a thousand items in one line; kept at debug."""

_COLOURS: Final = {"debug": "2", "info": "36", "warning": "33", "error": "31", "critical": "1;31"}


class LogLevel(StrEnum):
    """Levels of `--log-level`."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Events:
    """Logs events of one part of the agent: `events.warning("batch_rejected", connection="press", samples=312)`."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(f"edge_agent.{name}")

    def debug(self, event: str, **facts: object) -> None:
        """For whoever looks for a fault."""
        self._log(logging.DEBUG, event, facts)

    def info(self, event: str, **facts: object) -> None:
        """Something began, ended or changed as it should."""
        self._log(logging.INFO, event, facts)

    def warning(self, event: str, **facts: object) -> None:
        """Something is not as it should be, and the agent goes on."""
        self._log(logging.WARNING, event, facts)

    def error(self, event: str, **facts: object) -> None:
        """Something has to be done by a person."""
        self._log(logging.ERROR, event, facts)

    def exception(self, event: str, **facts: object) -> None:
        """A fault of ours, with its traceback; call it while the exception is being handled."""
        self._logger.error(event, exc_info=True, extra={"facts": facts})

    def _log(self, level: int, event: str, facts: Mapping[str, object]) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, event, extra={"facts": facts})


class OncePer:
    """Lets a thing be said at once, and after that at most once a period, with how often it happened meanwhile."""

    def __init__(self, period_seconds: float = 60.0) -> None:
        self._period = period_seconds
        self._said: dict[Hashable, float] = {}
        self._silent: dict[Hashable, int] = {}

    def count(self, key: Hashable, n: int = 1) -> int:
        """Note that `key` happened n times. Returns 0 to keep quiet, or the number to say now."""
        total = self._silent.get(key, 0) + n
        now = time.monotonic()
        last = self._said.get(key)
        if total == 0 or (last is not None and now - last < self._period):
            self._silent[key] = total
            return 0
        self._said[key] = now
        self._silent[key] = 0
        return total


def facts_of(record: logging.LogRecord) -> dict[str, object]:
    """The facts of a record: those given by `Events`, or the `extra` of a plain call."""
    given = {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
    facts = given.pop("facts", None)
    return {**(facts if isinstance(facts, Mapping) else {}), **given}


class JsonLines(logging.Formatter):
    """One JSON object a line: `time` (RFC 3339, UTC), `level`, `logger`, `event`, then the event's facts."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of one record."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **facts_of(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class ForPeople(logging.Formatter):
    """`14:03:07.125 warning connection_down  connection=press reason="refused"`, coloured where asked for."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """The line of one record; a traceback follows on lines of its own."""
        level = record.levelname.lower()
        moment = datetime.fromtimestamp(record.created, UTC).astimezone()
        facts = "".join(f" {key}={_shown(value)}" for key, value in facts_of(record).items())
        level_shown = f"{level:<8}"
        if self._colour:
            level_shown = f"\033[{_COLOURS.get(level, '0')}m{level_shown}\033[0m"
        line = f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d} {level_shown} {record.getMessage()}{facts}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _shown(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return json.dumps(text, ensure_ascii=False) if not text or any(c in text for c in ' "=\n') else text


def _is_news(record: logging.LogRecord) -> bool:
    return not (record.name.startswith("connectors.") and record.msg in _SAID_BY_HEALTH)


def configure(level: LogLevel, stream: TextIO | None = None) -> None:
    """Send all logs to a stream (standard error where none is given): for people if it is a terminal, else JSON lines.

    Libraries that chatter are heard only at level `debug`.
    """
    target: Any = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(target)
    terminal = bool(target.isatty())
    handler.setFormatter(ForPeople(colour=terminal) if terminal else JsonLines())
    if level is not LogLevel.DEBUG:
        handler.addFilter(_is_news)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _CHATTERING:
        logging.getLogger(name).setLevel(logging.DEBUG if level is LogLevel.DEBUG else logging.CRITICAL)
