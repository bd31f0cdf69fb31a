"""A replay to be killed: says how many bites it has committed, and `done`.

    python -m tests.edge_agent.killed_replay PLANT.yaml FILES…

Reads a line for each life: then forks, says `life PID`, and the child replays until it is killed or at its end. Forking
from a parent that has imported everything makes a life cheap; the parent touches neither the journal nor a thread.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

from config.compiler import compile_plant
from config.loader import load
from edge_agent.replay import ReplayOptions, replay
from tests.edge_agent.test_replay import LATER


def live(plant: Path, files: tuple[Path, ...]) -> None:
    """Replay, and say so bite by bite."""

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "replaying":
            os.write(1, f"{done}\n".encode())

    options = ReplayOptions(files=files, changes_only=True, patience_seconds=0)
    replay(partial(compile_plant, load(plant)), options, progress=progress, clock=lambda: LATER)
    os.write(1, b"done\n")
    os._exit(0)


def main() -> None:
    """Give a life for each line."""
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            live(Path(sys.argv[1]), tuple(Path(file) for file in sys.argv[2:]))
        os.write(1, f"life {child}\n".encode())
        os.waitpid(child, 0)
        os.write(1, b"dead\n")


if __name__ == "__main__":
    main()
