"""The forwarder: drains the outbox to InfluxDB, oldest entry first, in a thread of its own.

Rule 1: an entry leaves the outbox only after the database has said that it has it, or that it never will. A crash in
between sends it again, and points overwrite themselves.
Rule 2: what the database refuses is narrowed down to its lines; those go to the dead letters, all others are delivered,
and the queue moves on.
Rule 3: nothing ends the thread but `stop`; a fault is a fact in the statistics.

Weighed: one request per entry, or several entries joined while catching up (gzip bodies may simply be put one behind
the other). One per entry won: a reader that stops after the first gzip member would lose the others in silence, and
entries are already of a good size.
Weighed: synchronous FULL or NORMAL for the transaction that takes an entry out. NORMAL won: when a power cut undoes it,
the entry is sent once more, which does no harm, and the disk is left to the agent's own commits.
"""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from config.compiled import InfluxSettings
from connectors.contract import ClockNs
from edge_agent.influx_write import Answer, InfluxWrite, Outcome
from edge_agent.journal.model import JournalError, OutboxEntry
from edge_agent.journal.outbox import DeadLetter, oldest, settle
from edge_agent.journal.schema import connect, errors_explained, transaction
from edge_agent.logs import Events, OncePer
from edge_agent.refused_lines import Refused, find_refused

IDLE_SECONDS: Final = 5.0
"""How often an idle forwarder looks into the outbox, should it have missed being woken."""

_log = Events("forwarder")


class ForwarderState(StrEnum):
    """What the forwarder is doing."""

    IDLE = "idle"  # the outbox is empty
    DELIVERING = "delivering"
    FAILING = "failing"  # the last attempt failed; waits before the next
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ForwarderStatistics:
    """How the forwarder is doing since it was made. Times are ns by the agent's clock; bytes are compressed bodies'.

    last_error: why the latest failure happened, without secrets; stays after a recovery. failing_since: None while it
    does not fail. operator: whether a person has to act (credentials, address, bucket).
    """

    state: ForwarderState = ForwarderState.STOPPED
    delivered_points: int = 0
    delivered_entries: int = 0
    delivered_bytes: int = 0
    rejected_points: int = 0
    requests: int = 0
    failures: int = 0
    last_delivered: int | None = None
    failing_since: int | None = None
    last_error: str = ""
    operator: bool = False


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait after the n-th failure in a row: doubling, half of it by chance, so that agents do not march."""

    first_seconds: float = 0.5
    most_seconds: float = 30.0

    def seconds(self, failures: int) -> float:
        """The next wait. failures: in a row, from 1."""
        whole = min(self.most_seconds, self.first_seconds * 2.0 ** min(failures - 1, 30))
        return whole * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing


class Forwarder:
    """Delivers what the outbox of a journal holds.

    path: the journal; it must have been made by `Journal` before `start`. settings: where to.
    Constructing touches neither network nor journal. Methods may be called from any thread.
    """

    def __init__(
        self, path: Path, settings: InfluxSettings, *, clock: ClockNs = time.time_ns, backoff: Backoff | None = None
    ) -> None:
        self._path = path
        self._settings = settings
        self._clock = clock
        self._backoff = backoff or Backoff()
        self._fresh = threading.Event()
        self._stopping = threading.Event()
        self._give_up_at = float("inf")
        self._failures = 0  # in a row
        self._pause_seconds = 0.0
        self._often = OncePer()
        self._statistics = ForwarderStatistics()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to deliver."""
        if self._thread is not None:
            raise RuntimeError("the forwarder was started before")
        # A daemon: a request that hangs longer than `stop` waits must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name="forwarder", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Say that there is something new in the outbox. Does not cut short the wait after a failure."""
        self._fresh.set()

    def stop(self, timeout: float) -> None:
        """Deliver what is left as long as the database takes it, for at most `timeout` seconds; then end."""
        self._give_up_at = time.monotonic() + timeout
        self._stopping.set()
        self._fresh.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def statistics(self) -> ForwarderStatistics:
        """How it is doing."""
        return self._statistics

    def _run(self) -> None:
        try:
            with (
                errors_explained(self._path),
                closing(connect(self._path, synchronous="NORMAL")) as database,
                closing(InfluxWrite(self._settings)) as influx,
            ):
                self._drain(database, influx)
        except JournalError as error:
            # The agent has the same file open and says the same of it; without it there is nothing to forward.
            self._failed(Answer(Outcome.RETRY, words=str(error), operator=True))
        finally:
            self._note(state=ForwarderState.STOPPED)

    def _drain(self, database: sqlite3.Connection, influx: InfluxWrite) -> None:
        while True:
            last_round = self._stopping.is_set()  # before looking: what was committed before `stop` is seen
            self._fresh.clear()
            try:
                went_on = self._step(database, influx)
            except JournalError as error:
                self._failed(Answer(Outcome.RETRY, words=str(error), operator=True))
                went_on = False
            except Exception as error:
                _log.exception("forwarder_fault")
                self._failed(Answer(Outcome.RETRY, words=f"{type(error).__name__}; see the log", operator=True))
                went_on = False
            if last_round and (not went_on or time.monotonic() > self._give_up_at):
                return
            if not went_on:
                self._rest()

    def _rest(self) -> None:
        if self._statistics.state is ForwarderState.FAILING:
            self._stopping.wait(self._pause_seconds)
        else:
            self._fresh.wait(IDLE_SECONDS)

    def _step(self, database: sqlite3.Connection, influx: InfluxWrite) -> bool:
        """Deal with the oldest entry. Returns whether it left the outbox."""
        with errors_explained(self._path):
            entry = oldest(database)
        if entry is None:
            self._note(state=ForwarderState.IDLE)
            return False
        answer = self._send(influx, entry.body)
        refused: list[Refused] = []
        if answer.outcome is Outcome.REJECTED:
            search = find_refused(entry.body, answer, lambda body: self._send(influx, body))
            refused, answer = search.refused, search.retry or answer
        if answer.outcome is Outcome.RETRY:
            self._failed(answer)
            return False
        letters = [self._dead_letter(entry, part) for part in refused]
        with errors_explained(self._path), transaction(database):
            settle(database, entry, letters)
        self._settled(entry, letters)
        return True

    def _send(self, influx: InfluxWrite, body: bytes) -> Answer:
        self._note(requests=self._statistics.requests + 1)
        return influx.send(body)

    def _dead_letter(self, entry: OutboxEntry, part: Refused) -> DeadLetter:
        # A body that cannot be taken apart is refused as a whole.
        points, body = (len(part.lines), part.body) if part.lines else (entry.points, entry.body)
        return DeadLetter(self._clock(), entry.kind, points, part.answer.status, part.answer.words, body)

    def _settled(self, entry: OutboxEntry, letters: list[DeadLetter]) -> None:
        rejected = sum(letter.points for letter in letters)
        now = self._clock()
        before = self._statistics
        if before.failing_since is not None:
            _log.info("influx_delivers_again", failed_attempts=self._failures)
        self._failures = 0
        self._note(
            state=ForwarderState.DELIVERING,
            delivered_points=before.delivered_points + entry.points - rejected,
            delivered_entries=before.delivered_entries + 1,
            delivered_bytes=before.delivered_bytes + len(entry.body),
            rejected_points=before.rejected_points + rejected,
            last_delivered=now,
            failing_since=None,
            operator=False,
        )
        for letter in letters:
            times = self._often.count("rejected", letter.points)
            if times:
                _log.warning(
                    "points_rejected",
                    kind=letter.kind.name.lower(),
                    points=times,
                    status=letter.status,
                    words=letter.words,
                )

    def _failed(self, answer: Answer) -> None:
        self._failures += 1
        pause = self._backoff.seconds(self._failures)
        self._pause_seconds = pause if answer.retry_after is None else max(answer.retry_after, pause)
        before = self._statistics
        error = f"{answer.status} {answer.words}" if answer.status else answer.words
        self._note(
            state=ForwarderState.FAILING,
            failures=before.failures + 1,
            failing_since=before.failing_since if before.failing_since is not None else self._clock(),
            last_error=error,
            operator=answer.operator,
        )
        times = self._often.count(("failing", answer.status))
        if times:
            say = _log.error if answer.operator else _log.warning
            say("influx_fails", reason=error, times=times, retry_seconds=round(self._pause_seconds, 1))

    def _note(self, **facts: Any) -> None:
        """Replace facts of the statistics; a reader in another thread sees all of a change or nothing."""
        self._statistics = replace(self._statistics, **facts)
