"""A row of a ready-made state model.

Imports: standard library, kpi.plant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kpi.plant import State


@dataclass(frozen=True, slots=True)
class ReadyRule:
    """Signal → its values, and the state they mean. why: what the source calls it, or why it is ours.

    handling: whether the row holds only where the plant says that handling of parts is within the ideal cycle time.
    """

    when: Mapping[str, tuple[int | str, ...]]
    state: State
    why: str = ""
    handling: bool = False
