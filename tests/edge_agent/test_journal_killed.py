"""kill -9 at random moments: nothing that was acknowledged is missing, nothing is there twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from config.compiled import InfluxSettings
from edge_agent.forwarder import Forwarder
from edge_agent.journal import Journal, JournalReader
from edge_agent.ledger import Unit, difference
from kpi.elements import MINUTE_NS
from tests.edge_agent.killed import ARCHIVED_TICKS, H0, KEPT_TICKS, time_of
from tests.services.influxdb import InfluxDb, influxdb
from tests.services.nginx import nginx

KILLS = 25


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[InfluxDb, str]]:
    """InfluxDB behind nginx, and the URL of the v2 API."""
    with influxdb(tmp_path / "influxdb") as database, nginx(tmp_path / "nginx", upstream=database.port) as proxy:
        yield database, proxy.url


class Lives:
    """The program of `tests.edge_agent.killed`, life after life."""

    def __init__(self, path: Path, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.edge_agent.killed", str(path), url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )

    def live_and_be_killed(self, seconds: float) -> int:
        """One life, killed `seconds` after its first commit. Returns the last number it acknowledged."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        said = iter(self._process.stdout.readline, b"dead\n")
        acknowledged = 0
        child = None
        for line in said:
            if line.startswith(b"life"):
                child = int(line.split()[1])
            else:
                assert line.strip(), f"the program ended by itself: {self._process.poll()}"
                acknowledged = int(line)
            if child is not None and acknowledged:
                time.sleep(seconds)  # the random moment itself; nothing waits for anything to be done by then
                os.kill(child, signal.SIGKILL)
                child = None
        return acknowledged

    def close(self) -> None:
        """No more lives."""
        self._process.communicate(timeout=30)


def test_whatever_was_acknowledged_survives_kills_at_any_moment_once(
    tmp_path: Path, server: tuple[InfluxDb, str]
) -> None:
    database, url = server
    path = tmp_path / "plant.journal"
    chance = random.Random(7)
    last = 0
    with closing(Lives(path, url)) as lives:
        for _ in range(KILLS):
            acknowledged = lives.live_and_be_killed(chance.uniform(0, 0.08))
            last = check(path, at_least=max(acknowledged, last))
    assert last > KILLS
    forwarder = Forwarder(path, InfluxSettings(url, "factory"))
    forwarder.start()
    forwarder.stop(timeout=30)
    points = [(point["time"], point["number"]) for point in database.points("agent")]
    assert sorted(points) == [(time_of(n), n) for n in range(1, last + 1)]


def check(path: Path, *, at_least: int) -> int:
    """Everything in the journal is of one tick, and that is the last acknowledged one or the one after it."""
    with closing(Journal(path, most_bytes=10**9, tags=["press.good"])) as journal, JournalReader(path) as reader:
        recovery = journal.recover()
        last = int(recovery.checkpoint or b"0")
        assert last in {at_least, at_least + 1}
        kept = range(max(1, last - KEPT_TICKS), last + 1)
        assert recovery.samples.value.tolist() == [float(n) for n in kept]
        archived = range(max(1, last - ARCHIVED_TICKS + KEPT_TICKS + 1), last + 1)
        assert dict(journal.archive()) == {time_of(n - KEPT_TICKS - 1): str(n).encode() for n in archived}
        assert journal.texts() == {f"text {n}": n for n in range(1, last + 1)}
        assert reader.status() == {"tick": last}
        ledger = reader.ledger()
        assert ledger["received"] == ledger["points:queued"] == last
        assert difference(ledger, Unit.POINTS) == 0
        minutes = reader.elements("minute", 0, 2**62)
        assert minutes["pq"].sum() == last
        assert minutes["time"].to_list() == [H0 + i * MINUTE_NS for i in range(last // 10 + 1)]
        assert reader.elements("hour", 0, 2**62)["pq"].sum() == last
        assert reader.intervals(0, 2**62)["end"].max() == time_of(last) + 1
    return last
