"""The rooms of the project and who may know whom."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = {"edge_agent", "connectors", "kpi", "config", "grafana"}
MAY_KNOW = {
    "kpi": set[str](),
    "connectors": set[str](),
    "config": {"kpi", "connectors"},
    "grafana": {"config", "kpi"},
    "edge_agent": {"kpi", "connectors", "config", "grafana"},
}


OUTSIDE = {
    *("os", "io", "sys", "pathlib", "shutil", "tempfile", "glob", "fileinput", "mmap", "sqlite3", "subprocess"),
    *("socket", "ssl", "urllib", "http", "asyncio", "threading", "multiprocessing", "concurrent", "signal"),
    *("time", "sched", "logging", "warnings", "random", "secrets", "uuid", "platform", "getpass", "importlib"),
}
"""Modules that know a clock, a file, a network, a process or chance."""
OUTSIDE_NAMES = {"open", "print", "input", "breakpoint", "__import__"}
OUTSIDE_METHODS = {
    *("now", "today", "utcnow", "open", "touch", "unlink", "mkdir", "iterdir", "glob", "rglob", "stat", "exists"),
    *("load", "loadtxt", "genfromtxt", "fromfile", "tofile", "save", "savez", "savetxt", "memmap"),
}
OUTSIDE_VERBS = ("read_", "write_", "scan_", "sink_")
"""What methods of dates, paths, numpy and polars are called, or begin with, that read a clock, read or write."""


def imports_of(source: str) -> set[str]:
    """Top-level packages that a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


def reaches_outside(source: str) -> list[str]:
    """What a module uses that reads a clock or does input or output, as `line: name`, called or only mentioned."""

    def is_outside(name: str) -> bool:
        return name in OUTSIDE_METHODS or name.startswith(OUTSIDE_VERBS)

    found = [f"import {name}" for name in sorted(imports_of(source) & OUTSIDE)]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and node.id in OUTSIDE_NAMES:
            found.append(f"{node.lineno}: {node.id}")
        elif isinstance(node, ast.Attribute) and is_outside(node.attr):
            found.append(f"{node.lineno}: .{node.attr}")
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.lineno}: {alias.name}" for alias in node.names if is_outside(alias.name)]
        elif isinstance(node, ast.Constant) and node.value in {"now", "today"}:  # of numpy.datetime64
            found.append(f"{node.lineno}: {node.value!r}")
    return found


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_knows_only_the_rooms_it_may(room: str) -> None:
    for path in (ROOT / room).rglob("*.py"):
        strangers = (imports_of(path.read_text()) & ROOMS) - MAY_KNOW[room] - {room}
        assert not strangers, f"{path.relative_to(ROOT)} imports {sorted(strangers)}"


def test_the_engine_does_no_input_or_output_and_reads_no_clock() -> None:
    for path in (ROOT / "kpi").rglob("*.py"):
        outside = reaches_outside(path.read_text())
        assert not outside, f"{path.relative_to(ROOT)} uses {outside}"


@pytest.mark.parametrize(
    "snippet",
    [
        "from datetime import datetime\nstarted = datetime.now()",
        "from datetime import UTC, datetime\ndef began(clock=datetime.now):\n    return clock(UTC)",
        "import datetime\nstarted = datetime.datetime.now(datetime.UTC)",
        "from datetime import datetime as moment\nstarted = moment.utcnow()",
        "from datetime import datetime\nstarted = datetime.today()",
        "from datetime import date\nday = date.today()",
        "import numpy as np\nstarted = np.datetime64('now')",
        "import time\nstarted = time.time_ns()",
        "def began():\n    from time import monotonic\n    return monotonic()",
        "with open('rows.csv') as file:\n    rows = file.readlines()",
        "reader = open",
        "from pathlib import Path",
        "def rows(path):\n    return path.read_text()",
        "def rows(path):\n    return path.read_bytes()",
        "def rows(path):\n    return path.open().readlines()",
        "def keep(path, text):\n    path.write_text(text)",
        "import polars as pl\nrows = pl.read_csv('rows.csv')",
        "from polars import read_csv",
        "import polars as pl\nrows = pl.scan_parquet('rows.parquet').collect()",
        "def keep(rows):\n    rows.write_parquet('rows.parquet')",
        "import numpy as np\nrows = np.load('rows.npy')",
        "print('a row')",
        "def show(rows, say=print):\n    say(rows)",
        "answer = input()",
        "import logging",
        "import os.path",
        "from random import Random",
        "clock = __import__('time')",
    ],
)
def test_a_clock_or_a_file_in_the_engine_would_be_found(snippet: str) -> None:
    assert reaches_outside(snippet)


@pytest.mark.parametrize(
    "snippet",
    [
        "from datetime import UTC, datetime\nday = datetime.fromtimestamp(0, UTC).date()",
        "from datetime import date, time\nat = time(6)",
        "def provisional(now):\n    return now - now % 60",
        "import numpy as np\nrow = np.cumsum(np.ones(3))",
        "import zlib\npacked = zlib.compress(b'')",
        "import json\nhead = json.loads('{}')",
    ],
)
def test_what_only_computes_is_let_pass(snippet: str) -> None:
    assert not reaches_outside(snippet)
