"""The agent's side of the journal: one transaction a tick, and what a restart begins with.

Rule: `commit` is the only way to write; when it returns, the tick is on the disk.

Weighed for "one agent only": SQLite's exclusive locking mode, or a lock file. The lock file won: exclusive mode shuts
out the forwarder and every reader as well. The kernel lets go of the lock when its process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, cast

import numpy as np

from connectors.contract import ClockNs
from connectors.samples import Int32
from edge_agent.journal import beyond_horizon, outbox, sample_log, strands
from edge_agent.journal.beyond_horizon import PackedRun, TagFacts
from edge_agent.journal.element_tables import ElementTables
from edge_agent.journal.engine_blocks import Archive, ArchiveFacts, DamagedBlockError, EngineBlocks, block_of
from edge_agent.journal.model import JournalError, Recovery, Tick
from edge_agent.journal.recovery import FOLDED_TO, SETTLED_TO, recovery
from edge_agent.journal.schema import errors_explained, open_to_write, transaction
from edge_agent.ledger import ARCHIVE_BLOCKS_JOURNAL_FULL

_NO_FACTS: Final[Mapping[str, TagFacts]] = {}

DAY_NS: Final = 86_400_000_000_000

SPARE_PAGES: Final = 2048
"""Free pages (16 MB) that the file keeps for its own use; what is beyond goes back to the disk."""

VACUUM_PAGES: Final = 512
"""Pages that one tick gives back at most: a few milliseconds."""


class Journal:
    """The journal, opened by the one agent that writes it.

    most_bytes: how large the file may become; beyond it samples that are kept apart go first, then the oldest of the
        engine's archived past, then what waits in the outbox, by its importance. Elements stay.
    tags: names of the tags of this start, in the order of their indexes, unique. tag_facts: what is to be known of them
        by name, also after they are gone.
    keep_minutes_ns, keep_hours_ns: how long minute and hour elements are kept, measured from the newest minute.
    hour_offset_ns: where the plant's hours start within an hour of UTC; 30 min where the zone is off by half an hour.
        A journal keeps the one that it was made with.
    clock: stamps what is put into the outbox.
    Raises JournalError where the file is another agent's, not a journal, damaged, or of a newer schema.
    Any thread may call; calls are taken one at a time.
    """

    def __init__(
        self,
        path: Path,
        *,
        most_bytes: int,
        tags: Sequence[str],
        tag_facts: Mapping[str, TagFacts] = _NO_FACTS,
        keep_minutes_ns: int = 35 * DAY_NS,
        keep_hours_ns: int = 10 * 366 * DAY_NS,
        hour_offset_ns: int = 0,
        clock: ClockNs = time.time_ns,
    ) -> None:
        if len(set(tags)) != len(tags):
            raise ValueError("tag names must be unique")
        self.path = path
        self._most_bytes = most_bytes
        self._clock = clock
        self._turn = threading.Lock()
        self._lock_file = _lock(path)
        try:
            self._database = open_to_write(path)
            with errors_explained(path), transaction(self._database):
                # Ids of this start's tags in the file, by index; a name keeps its id for the life of the journal.
                self._tag_ids = self._ids_of(tags)
                beyond_horizon.describe(self._database, tag_facts)
                self._tables = ElementTables(
                    self._database,
                    hour_offset_ns=hour_offset_ns,
                    keep_minutes_ns=keep_minutes_ns,
                    keep_hours_ns=keep_hours_ns,
                )
                self._blocks = EngineBlocks(self._database)
        except BaseException:
            os.close(self._lock_file)
            raise

    def texts(self) -> dict[str, int]:
        """All text codes that were ever committed, text → code."""
        with self._turn, errors_explained(self.path):
            rows = self._database.execute("SELECT text, code FROM text_code ORDER BY code")
            return {text.decode("utf-8", "surrogatepass"): code for text, code in rows}

    def commit(self, tick: Tick) -> None:
        """Keep a tick. When this returns, it survives a kill and a power cut; when it raises, nothing of it was kept.

        Raises JournalWriteError where the same tick may be committed again (full disk, failed write), JournalError
        where the file is damaged.
        """
        run = None
        if len(tick.samples):
            run = sample_log.pack(tick.samples, self._tag_ids[tick.samples.tag])
        beyond = beyond_horizon.packed(tick.beyond, self._tag_ids[tick.beyond.tag])
        with self._turn, errors_explained(self.path):
            try:
                with transaction(self._database):
                    self._write(tick, run, beyond)
            except BaseException:
                self._tables.forget_uncommitted()
                self._blocks.reload()
                raise
            self._give_back_space()

    def recover(self) -> Recovery:
        """What a restarted agent begins with: the engine's checkpoint and the samples since.

        Blocks of the archive that are younger than the checkpoint go: their samples are those since.
        """
        with self._turn, errors_explained(self.path):
            found = recovery(self._database, self._tag_ids)
            with transaction(self._database):
                self._blocks.forget_from(found.keep_from)
            return found

    def archive(self) -> Mapping[int, bytes]:
        """The engine's past beyond its memory: start (ns) → packed block, in the numbering of this start's tags.

        It shows what the last commit left; which blocks there are costs nothing to know, a block is read when it is
        asked for. Raises JournalError where it is damaged: it and all before it are then gone at the next start.
        """
        return Archive(lambda: self._blocks.starts, self._block)

    def archive_facts(self) -> ArchiveFacts:
        """How much of the past is archived."""
        with self._turn, errors_explained(self.path):
            return self._blocks.facts()

    def drop_archive(self) -> None:
        """Forget the archived past: where the engine begins anew, nothing fits to it."""
        with self._turn, errors_explained(self.path), transaction(self._database):
            self._blocks.forget_from(-(2**63))

    def folded_with(self) -> dict[str, tuple[str, str]]:
        """Machine → fingerprints that its rows were last folded with; see `Tick.folded_with`."""
        with self._turn, errors_explained(self.path):
            rows = self._database.execute("SELECT machine, calendar, rules FROM folded_with")
            return {machine: (calendar, rules) for machine, calendar, rules in rows}

    def _block(self, start: int) -> bytes:
        with self._turn, errors_explained(self.path):
            try:
                return block_of(self._database, start, self._tag_ids)
            except DamagedBlockError as fault:
                with transaction(self._database):
                    self._blocks.free_up_to(start)
                raise JournalError(
                    self.path, str(fault), "check the disk; start again, and later samples than these still correct"
                ) from fault

    def close(self) -> None:
        """Close the file and let go of it. May be called twice."""
        with self._turn:
            if self._lock_file < 0:
                return
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("PRAGMA optimize")
            self._database.close()
            os.close(self._lock_file)
            self._lock_file = -1

    def _write(self, tick: Tick, run: tuple[bytes, int] | None, beyond: Sequence[PackedRun]) -> None:
        if tick.texts:
            self._database.executemany(
                "INSERT INTO text_code (code, text) VALUES (?, ?)",
                [(code, text.encode("utf-8", "surrogatepass")) for text, code in tick.texts.items()],
            )
        if run is not None:
            self._database.execute(
                "INSERT INTO sample_log (last_time, samples, checksum, body) VALUES (?, ?, ?, ?)",
                (int(tick.samples.time.max()), len(tick.samples), run[1], run[0]),
            )
        if beyond:
            beyond_horizon.append(self._database, beyond, now=self._clock())
        if tick.outbox:
            outbox.append(self._database, tick.outbox, now=self._clock())
        if tick.hours is not None:
            self._tables.replace_hours(tick.hours)
        if tick.measured_hours is not None:
            self._tables.replace_measured_hours(tick.measured_hours)
        self._tables.replace(tick.elements, tick.intervals, tick.measured, tick.decided)
        if tick.elements is not None and not tick.elements.is_empty():
            self._tables.prune(cast(int, tick.elements["time"].max()))
        self._keep_past(tick)
        strands.write(self._database, tick.strands)
        if tick.folded_with is not None:
            self._database.execute("DELETE FROM folded_with")
            self._database.executemany(
                "INSERT INTO folded_with VALUES (?, ?, ?)",
                [(name, *prints) for name, prints in tick.folded_with.items()],
            )
        self._keep_within_size(tick)
        if tick.settled_to is not None:
            self._database.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (SETTLED_TO, tick.settled_to))
        if tick.ledger:
            outbox.book(self._database, tick.ledger)
        if tick.status:
            self._database.executemany("INSERT OR REPLACE INTO status VALUES (?, ?)", tick.status.items())

    def _keep_past(self, tick: Tick) -> None:
        """What a restart needs of the engine: checkpoint, blocks, and how far it has looked at the sample log."""
        if tick.archive:
            self._blocks.put(tick.archive, self._tag_order())
        if tick.checkpoint is not None:
            self._keep_checkpoint(*tick.checkpoint)
        if tick.folded or tick.checkpoint is not None:
            # of what the checkpoint left: the id of a run that went with it is given again, to one yet to be taken on
            last = self._database.execute("SELECT coalesce(max(id), 0) FROM sample_log").fetchone()[0]
            self._database.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (FOLDED_TO, last))
        if tick.archive_from is not None:
            self._blocks.forget_before(tick.archive_from)

    def _keep_checkpoint(self, body: bytes, keep_from: int) -> None:
        order = self._tag_order()
        self._database.execute(
            "INSERT OR REPLACE INTO checkpoint (id, keep_from, tag_order, body) VALUES (1, ?, ?, ?)",
            (keep_from, order, body),
        )
        self._database.execute("DELETE FROM sample_log WHERE last_time < ?", (keep_from,))
        self._blocks.forget_from(keep_from)

    def _keep_within_size(self, tick: Tick) -> None:
        """The journal's bound: what is kept apart goes first, then the oldest of the archive and of the outbox."""
        if tick.archive or tick.outbox or len(tick.beyond):
            pages, spare, page = (
                self._database.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
            excess = (pages - spare) * page - self._most_bytes
            excess -= beyond_horizon.free(self._database, excess)
            gone = self._blocks.free(excess)
            if gone:
                outbox.book(self._database, {ARCHIVE_BLOCKS_JOURNAL_FULL: gone})
        if tick.outbox:
            outbox.keep_within(self._database, self._most_bytes)

    def _ids_of(self, tags: Sequence[str]) -> Int32:
        known: dict[str, int] = dict(self._database.execute("SELECT name, id FROM tag").fetchall())
        self._database.executemany("INSERT INTO tag (name) VALUES (?)", [(tag,) for tag in tags if tag not in known])
        known = dict(self._database.execute("SELECT name, id FROM tag").fetchall())
        return np.array([known[tag] for tag in tags], np.int32)

    def _tag_order(self) -> int:
        """Id of this start's tag order; it is written where it is new, and those that nothing speaks of go."""
        row = self._database.execute("SELECT id FROM tag_order WHERE tags = ?", (self._tag_ids.tobytes(),)).fetchone()
        if row is not None:
            return int(row[0])
        self._database.execute("DELETE FROM tag_order WHERE id NOT IN (SELECT tag_order FROM engine_block)")
        cursor = self._database.execute("INSERT INTO tag_order (tags) VALUES (?)", (self._tag_ids.tobytes(),))
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _give_back_space(self) -> None:
        spare: int = self._database.execute("PRAGMA freelist_count").fetchone()[0]
        if spare > SPARE_PAGES + VACUUM_PAGES:
            # A script is stepped to its end; `execute` would stop after the first page.
            self._database.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")


def _lock(path: Path) -> int:
    """The descriptor of the lock file, locked. It stays when the agent ends: to remove it would race with the next."""
    lock_path = path.with_name(f"{path.name}.lock")
    try:
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        reason = f"its folder cannot be written to ({error.strerror})"
        raise JournalError(
            path, reason, "make the folder and give the agent's user the right to write there"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(descriptor, 32).decode("ascii", "replace").strip()
        os.close(descriptor)
        who = f"process {owner}" if owner else "another process"
        raise JournalError(
            path, f"it is in use by another agent ({who})", "stop that agent, or give this one another `agent.journal`"
        ) from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor
