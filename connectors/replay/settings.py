"""What a replay reads: files, how they are laid out, and the plant's tags by the names that the files may use.

Rule: frozen values; whoever composes a replay makes them from the plant's configuration and the operator's options.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from connectors.samples import Int32


class Role(StrEnum):
    """What a column of a file is for."""

    TIME = "time"
    DATE = "date"  # where the day stands in a column of its own, and `time` is the time of day
    TAG = "tag"
    MACHINE = "machine"
    SIGNAL = "signal"
    VALUE = "value"
    QUALITY = "quality"


LayoutName = Literal["auto", "long", "wide"]
DecimalName = Literal["auto", ".", ","]


@dataclass(frozen=True, slots=True, eq=False)
class HistoryTags:
    """The plant's tags, by index.

    names: `machine.signal`. aliases: other names of a tag (its node or topic). text: bool, whether a tag's values are
    texts. group: int32, the machine that a tag belongs to, counted from 0; -1 where it belongs to none. meter: bool,
    whether a tag's readings are spread over the time since the one before.
    """

    names: tuple[str, ...]
    text: npt.NDArray[np.bool_]
    group: Int32
    meter: npt.NDArray[np.bool_]
    aliases: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class ReplaySettings:
    """What to read, and how.

    time_zone: IANA name, for times that do not say theirs. latest: ns; a later time is not believed.
    columns: role → name of the column, where it cannot be guessed. mapping: name in the files → `machine.signal`.
    time_format: as for strptime, where it cannot be guessed. encoding: of text files; None = found out.
    all_or_none: whether a file that cannot be read stops all.
    """

    files: tuple[Path, ...]
    tags: HistoryTags
    time_zone: str
    latest: int
    layout: LayoutName = "auto"
    columns: Mapping[Role, str] = field(default_factory=dict)
    mapping: Mapping[str, str] = field(default_factory=dict)
    time_format: str | None = None
    decimal: DecimalName = "auto"
    encoding: str | None = None
    all_or_none: bool = False


class HistoryError(Exception):
    """A file cannot be read as it is, and the operator has to say or change something.

    path: the file. reason: what is wrong. hint: what can be done.
    """

    def __init__(self, path: Path, reason: str, hint: str) -> None:
        super().__init__(f"{path}: {reason}; {hint}")
        self.path = path
        self.reason = reason
        self.hint = hint
