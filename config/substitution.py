"""`${NAME}`, `${NAME:-default}` and `${file:/path}` in the scalars of a configuration.

Rule 1: substitution comes after the YAML is parsed, so a secret cannot become YAML.
Rule 2: what was put in is marked (`Substituted`) and no message shows it; `$${` is a plain `${`.
Imports: standard library, config.errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from config.errors import did_you_mean

MOST_BYTES = 65_536
"""Size of a file that `${file:…}` takes in: keys and tokens are far smaller, and a wrong path may be a huge file."""

_EXPRESSION = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class Substituted(str):
    """A text with substituted parts.

    shown: the same with the expressions in place of what was put in. put_in: expression → what was put in for it, only
    from the environment and from files; a default stands in the file for all to see.
    """

    __slots__ = ("put_in", "shown")
    shown: str
    put_in: dict[str, str]

    def __new__(cls, text: str, shown: str, put_in: dict[str, str] | None = None) -> Substituted:
        made = super().__new__(cls, text)
        made.shown = shown
        made.put_in = put_in or {}
        return made


class SubstitutionError(ValueError):
    """A substitution that cannot be made; its text is for the operator and holds no value."""


def substitute(text: str, environment: Mapping[str, str]) -> str:
    """The text with every expression replaced; a `Substituted` where there was one.

    Raises SubstitutionError for an unset variable, an unreadable file, or an expression that is neither.
    """
    if "${" not in text:
        return text
    found_any = False
    put_in: dict[str, str] = {}

    def value(found: re.Match[str]) -> str:
        nonlocal found_any
        if found.group(0) == "$${":
            return "${"
        found_any = True
        made, is_default = _value(found.group(1), environment)
        if not is_default:
            put_in[_shown(found.group(1))] = made
        return made

    def shown(found: re.Match[str]) -> str:
        return "${" if found.group(0) == "$${" else _shown(found.group(1))

    made = _EXPRESSION.sub(value, text)
    return Substituted(made, _EXPRESSION.sub(shown, text), put_in) if found_any else made


def _shown(expression: str | None) -> str:
    return "${" + (expression or "").partition(":-")[0] + "}"


def _value(expression: str | None, environment: Mapping[str, str]) -> tuple[str, bool]:
    """What is put in for an expression, and whether it is the default."""
    if expression is None:
        raise SubstitutionError("`${` without a closing `}`; write `$${` for a plain `${`")
    if expression.startswith("file:"):
        return _file(expression.removeprefix("file:")), False
    name, has_default, default = expression.partition(":-")
    if not _NAME.match(name):
        raise SubstitutionError("expected `${NAME}`, `${NAME:-default}` or `${file:/path}`")
    value = environment.get(name, "")
    if value:
        return value, False
    if has_default:
        return default, True
    state = "is empty" if name in environment else "is not set"
    near = did_you_mean(name, (other for other in environment if other != name))
    advice = near or f"; set it, or write `${{{name}:-default}}`"
    raise SubstitutionError(f"environment variable `{name}` {state}{advice}")


def _file(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        raise SubstitutionError(f"cannot read `{path}`: {reason.lower()}") from None
    if len(raw) > MOST_BYTES:
        raise SubstitutionError(f"`{path}` is larger than {MOST_BYTES // 1024} KiB; is it the right file?")
    try:
        return raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise SubstitutionError(f"`{path}` is not UTF-8 text") from None
