"""Cells of the terminal's tables, in one form everywhere.

Rule: nothing is cut off: long lists end in a line that says how much more there is and how to see it, and what does not
fit into a column is folded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from edge_agent.explain.words import clock

Facts = Mapping[str, Any]


def table_of(title: str, left: Iterable[str], *, right: Iterable[str] = (), then: Iterable[str] = ()) -> Table:
    """A table without rows: columns of texts, of figures, and of texts again."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", title=title or None, title_justify="left")
    table.title_style = "bold"
    for heading in left:
        table.add_column(heading, overflow="fold")
    for heading in right:
        table.add_column(heading, justify="right", overflow="fold")
    for heading in then:
        table.add_column(heading, overflow="fold")
    return table


def first_of(rows: Sequence[Facts], most: int | None) -> Sequence[Facts]:
    """As many rows as are shown; None = all, 0 = none: the window is too long for single ones."""
    return rows if most is None else rows[:most]


def listed(table: Table, rows: Sequence[Facts], most: int | None, what: str) -> Iterator[RenderableType]:
    """A table of the first of some rows, and how many more there are; only that where none is to be shown."""
    if most != 0 or not rows:
        yield table
    yield from more_of(rows, most, what)


def more_of(rows: Sequence[Facts], most: int | None, what: str) -> Iterator[RenderableType]:
    """How many rows are not shown, and how to see them."""
    if most == 0 and rows:
        left_out = f"{len(rows):,} {what} left out of a window longer than a day: --deep, --all or --json shows them"
        yield Padding(Text(left_out, "dim"), (0, 0, 0, 2))
    elif most is not None and len(rows) > most:
        yield Padding(Text(f"… and {len(rows) - most:,} more {what}: --all or --json shows them", "dim"), (0, 0, 0, 2))


def clock_of(at: int, facts: Facts) -> str:
    """An instant (ns) by the plant's clock; with its date where that is not the window's."""
    return clock(at, facts["timezone"], facts["window"]["start"])
