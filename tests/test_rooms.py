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


def imports_of(path: Path) -> set[str]:
    """Top-level packages that a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_knows_only_the_rooms_it_may(room: str) -> None:
    for path in (ROOT / room).rglob("*.py"):
        strangers = (imports_of(path) & ROOMS) - MAY_KNOW[room] - {room}
        assert not strangers, f"{path.relative_to(ROOT)} imports {sorted(strangers)}"


def test_the_engine_does_no_input_or_output_and_reads_no_clock() -> None:
    for path in (ROOT / "kpi").rglob("*.py"):
        outside = imports_of(path) & {"os", "io", "pathlib", "socket", "sqlite3", "asyncio", "time", "logging"}
        assert not outside, f"{path.relative_to(ROOT)} imports {sorted(outside)}"
