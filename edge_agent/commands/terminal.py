"""Where commands print tables: as wide as the terminal; into a pipe or file wide enough that no row is cut."""

from __future__ import annotations

import sys

from rich.console import Console

_WIDTH_IN_A_PIPE = 160


def console() -> Console:
    """Standard output."""
    return Console(width=None if sys.stdout.isatty() else _WIDTH_IN_A_PIPE)
