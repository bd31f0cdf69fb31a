"""`{machine}`, `{line}`, … in the texts of a profile: one profile for a hundred equal machines.

Rule: a placeholder is a name in braces; `{{` and `}}` are plain braces; anything else in braces is a fault.
Imports: standard library, config.errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from config.errors import did_you_mean

_PART = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}|[{}]")


class PlaceholderError(ValueError):
    """A placeholder without a value, or a lone brace; its text is for the operator."""


def placeholders(text: str) -> set[str]:
    """The names in braces."""
    return {found.group(1) for found in _PART.finditer(text) if found.group(1)}


def expand(text: str, values: Mapping[str, str], machine: str) -> str:
    """The text with every placeholder replaced by its value for the machine. Raises PlaceholderError."""
    if "{" not in text and "}" not in text:
        return text

    def value(found: re.Match[str]) -> str:
        if found.group(0) in {"{{", "}}"}:
            return found.group(0)[0]
        name = found.group(1)
        if name is None:
            raise PlaceholderError(
                "a brace without its partner; a placeholder is a name as in `{machine}`, and `{{` a brace"
            )
        if name not in values:
            hint = did_you_mean(name, values) or "; give one under `with`"
            raise PlaceholderError(f"placeholder `{{{name}}}` has no value for machine `{machine}`{hint}")
        return values[name]

    return _PART.sub(value, text)
