"""Where a command finds the journal that it reads: a plant file, a journal, or the only journal of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_agent.commands.faults import BadInputError
from edge_agent.commands.plant_file import read_plant

if TYPE_CHECKING:
    from edge_agent.journal import JournalReader

_YAML = {".yaml", ".yml"}

Source = Annotated[
    Path | None,
    typer.Argument(help="PLANT.yaml or a journal; without it, the only *.journal of this folder.", show_default=False),
]
JournalOption = Annotated[
    Path | None, typer.Option("--journal", help="The journal, in place of the one in PLANT.yaml.", show_default=False)
]


def is_plant_file(source: Path) -> bool:
    """Whether it is PLANT.yaml, by its name."""
    return source.suffix in _YAML


def open_journal(source: Path | None, journal: Path | None) -> JournalReader:
    """The journal that the operator means, opened to read.

    Raises BadInputError where there is none or it is no journal, or where the plant file is wrong.
    """
    from edge_agent.journal import JournalError, JournalReader

    path = journal or _journal_of(source)
    try:
        return JournalReader(path)
    except JournalError as fault:
        raise BadInputError(str(fault)) from fault


def _journal_of(source: Path | None) -> Path:
    if source is None:
        found = sorted(Path().glob("*.journal"))
        if len(found) == 1:
            return found[0]
        which = "there is none" if not found else "there are several: " + ", ".join(str(path) for path in found)
        raise BadInputError(f"no journal was named, and in this folder {which}; name PLANT.yaml or a journal")
    if is_plant_file(source):
        return Path(read_plant(source)[1].agent.journal)
    return source
