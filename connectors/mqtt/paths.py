"""Paths into a JSON document: `counts.good`, `parts[0].id`, `["dotted.key"].value`.

A step is a key or a list index. A key with dots, brackets or blanks stands in brackets and double quotes, as in JSON.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

Steps = tuple[str | int, ...]
"""Keys and list indexes, from the outside in; empty is the whole document."""

_STEP: Final = re.compile(r'(?P<dot>\.)?(?:(?P<key>[^.\[\]"\s]+)|\[(?P<index>\d+)\]|\[(?P<quoted>"(?:[^"\\]|\\.)*")\])')


class _Missing:
    """Stands for the value at a path that a document does not have; None is a value (JSON's null)."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


def parse_path(path: str) -> Steps:
    """The steps of a path. Raises ValueError, naming the path and the place, where it cannot be read."""
    steps: list[str | int] = []
    at = 0
    while at < len(path):
        step = _STEP.match(path, at)
        # A dot stands between two keys and nowhere else: not first, not doubled, not before a bracket.
        if step is None or bool(step["dot"]) != (step["key"] is not None and at > 0):
            raise ValueError(
                f"path `{path}` cannot be read from character {at + 1}; write keys and list indexes as in "
                f'`counts.good`, `parts[0].id` or `["dotted.key"].value`'
            )
        if step["key"] is not None:
            steps.append(step["key"])
        elif step["index"] is not None:
            steps.append(int(step["index"]))
        else:
            steps.append(json.loads(step["quoted"]))
        at = step.end()
    return tuple(steps)


def value_at(document: Any, steps: Steps) -> Any:
    """The value at the end of the steps, or MISSING."""
    node = document
    for step in steps:
        if isinstance(step, str):
            if type(node) is not dict:
                return MISSING
            node = node.get(step, MISSING)
        elif type(node) is list and step < len(node):
            node = node[step]
        else:
            return MISSING
    return node
