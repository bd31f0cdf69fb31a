"""A replay that is killed again and again, and started again: the rows and points of one that was not."""

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

from connectors import SampleBatch
from edge_agent.journal import JournalReader
from edge_agent.ledger import Unit, difference
from tests.edge_agent.scripted import SECOND
from tests.edge_agent.test_replay import parquet
from tests.edge_agent.test_replay_joined import DAY, UNREACHABLE, assert_same_rows, by_time, history, plant, points

KILLS = 6


class Lives:
    """The program of `tests.edge_agent.killed_replay`, life after life."""

    def __init__(self, plant: Path, files: list[Path]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.edge_agent.killed_replay", str(plant), *map(str, files)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )

    def replay(self, *, killed_after: int | None = None, seconds: float = 0.0) -> bool:
        """One life, killed `seconds` after so many commits. Returns whether it came to its end before."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        child, commits, is_done = None, 0, False
        for line in self._said():
            if line.startswith("life"):
                child = int(line.split()[1])
            is_done = is_done or line == "done"
            commits += line.isdigit()
            if child is not None and commits == killed_after:
                time.sleep(seconds)  # the random moment itself; nothing waits for anything to be done by then
                os.kill(child, signal.SIGKILL)
                killed_after = None
        return is_done

    def _said(self) -> Iterator[str]:
        assert self._process.stdout is not None
        for line in iter(self._process.stdout.readline, b"dead\n"):
            assert line.strip(), f"the program ended by itself: {self._process.poll()}"
            yield line.decode().strip()

    def close(self) -> None:
        """No more lives."""
        self._process.communicate(timeout=30)


def test_a_replay_killed_at_any_moment_and_started_again_is_one_that_was_not(tmp_path: Path) -> None:
    """Over the end of a month, at which weeks and months are said; minutes, hours, and what a database gets."""
    chance = random.Random(5)
    bench = plant(tmp_path / "killed", "3 d", influx=UNREACHABLE)
    whole = plant(tmp_path / "whole", "3 d", influx=UNREACHABLE)
    batch = history(bench, 11, 12 * DAY, every=3600)
    late = SampleBatch(batch.tag, batch.time + 24 * DAY * SECOND, batch.value, batch.quality)
    files = [parquet(bench, part, f"part-{i}.parquet") for i, part in enumerate(by_time(late, [30 * DAY + 77]))]
    with closing(Lives(whole.yaml, files)) as lives:
        assert lives.replay()
    with closing(Lives(bench.yaml, files)) as lives:
        for _ in range(KILLS):
            if lives.replay(killed_after=chance.randint(1, 12), seconds=chance.uniform(0, 0.1)):
                break
        assert lives.replay()
    assert_same_rows(bench.path, whole.path)
    mine, theirs = points(bench.path), points(whole.path)
    for window in ("minute", "hour", "shift", "day", "week", "month"):
        of_window = {key for key in theirs if key.startswith("kpi,") and f"window={window}" in key}
        assert of_window
    assert {key: mine.get(key) for key in theirs} == theirs
    assert mine.keys() - theirs.keys() == set()
    with JournalReader(bench.path) as reader:
        booked = reader.ledger()
    assert difference(booked, Unit.SAMPLES) == 0
