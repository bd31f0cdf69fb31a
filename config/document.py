"""A YAML file as plain values, with the line and column of each.

Rule: here the file is text and a tree; what the options mean is of no interest.

Two ways were weighed: to let the library construct values and keep positions in its round-trip types, or to take its
node graph and read the scalars here. The node graph won: every duplicate key can be told at once, an alias bomb is
met before it is unfolded, and a scalar is what YAML 1.2 calls it (`on`, `06:00` and `2026-10-01` stay texts, and a
number with a leading zero is a text too, since a part number `0815` is not 815).
Imports: standard library, ruamel.yaml, config.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path as FilePath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from config.errors import ConfigError, ConfigFault, Path, dotted
from config.substitution import Substituted, SubstitutionError, substitute

MOST_BYTES = 8_000_000
"""Size of a configuration: ten thousand machines on a line each are less than a megabyte."""

MOST_VALUES = 200_000
"""Values after aliases are unfolded: ten thousand machines have half of it, an alias bomb has billions."""

MOST_DEPTH = 60
"""Levels of nesting; an own configuration has eight."""

SHORTEST_REDACTED = 4
"""Characters from which on a substituted value is looked for in messages."""

_QUOTED = re.compile(r"`[^`]*`")
_NULL = re.compile(r"(?:~|null|Null|NULL|)\Z")
_BOOLEAN = re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18})\Z")
_REAL = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?\Z")
_SPECIAL = {".inf", ".Inf", ".INF", "+.inf", "-.inf", ".nan", ".NaN", ".NAN"}

Position = tuple[int, int]
"""Line and column, from 1."""


@dataclass(slots=True)
class Document:
    """A parsed file. keys: where each key (or list item) stands. values: where its value begins.
    unreadable: where a value could not be had; `UNREADABLE` stands there.
    put_in: expression → what was put in for it, which no message may show."""

    file: str
    tree: Any = None
    keys: dict[Path, Position] = field(default_factory=dict)
    values: dict[Path, Position] = field(default_factory=dict)
    unreadable: set[Path] = field(default_factory=set)
    put_in: dict[str, str] = field(default_factory=dict)

    def fault(self, path: Path, message: str, *, at_key: bool = False) -> ConfigFault:
        """A fault at a path, or at the nearest place above it that is in the file."""
        place = path
        positions = self.keys if at_key else self.values
        while place and place not in positions:
            place = place[:-1]
        line, column = positions.get(place, (0, 0)) if place else (0, 0)
        return ConfigFault(line, column, dotted(path), message)

    def get(self, path: Path) -> Any:
        """The plain value at a path; None where there is none."""
        value = self.tree
        for step in path:
            value = item(value, step)
        return value

    def shown(self, path: Path, text: str) -> str:
        """A text of the file as a message may show it: expressions in place of what was put in."""
        given = self.get(path)
        return f"`{given.shown}`" if isinstance(given, Substituted) else f"`{text}`"

    def redacted(self, message: str) -> str:
        """The message with the expressions in place of what was put in, within its quotes.

        A text put together from several places (a node with placeholders) has lost its mark; this finds it again.
        Values of less than four characters are left: they are no secrets, and would be found everywhere.
        """
        values = sorted(
            ((v, e) for e, v in self.put_in.items() if len(v) >= SHORTEST_REDACTED), key=lambda x: -len(x[0])
        )

        def clean(found: re.Match[str]) -> str:
            quoted = found.group(0)
            for value, expression in values:
                quoted = quoted.replace(value, expression)
            return quoted

        return _QUOTED.sub(clean, message) if values else message


def item(value: Any, step: str | int) -> Any:
    """The entry of a mapping or list; None where there is none, or the value is neither."""
    if isinstance(value, dict):
        return value.get(step)
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        return value[step]
    return None


def read(path: FilePath, environment: Mapping[str, str]) -> tuple[Document, list[ConfigFault]]:
    """The file as a document, and the faults of single keys and scalars, which are left out of the tree.

    Raises ConfigError where there is no tree to speak of: no such file, not UTF-8, not YAML, empty.
    """
    file = str(path)
    text = _text(path, file)
    node = _compose(text, file)
    if node is None or (isinstance(node, ScalarNode) and _NULL.match(node.value)):
        raise ConfigError(file, [ConfigFault(0, 0, "", "the file is empty; `plant` and `lines` are expected")])
    reader = _Reader(file, environment)
    reader.document.tree = reader.value(node, ())
    if reader.too_many:
        raise ConfigError(file, [ConfigFault(0, 0, "", f"more than {MOST_VALUES} values once aliases are unfolded")])
    if not isinstance(node, MappingNode):
        raise ConfigError(
            file, [ConfigFault(*_position(node), "", "expected options (`plant:`, `lines:`, …) at the top")]
        )
    return reader.document, reader.faults


def _text(path: FilePath, file: str) -> str:
    try:
        if path.is_dir():
            raise ConfigError(file, [ConfigFault(0, 0, "", "is a folder; name the YAML file in it")])
        with path.open("rb") as opened:
            raw = opened.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        raise ConfigError(file, [ConfigFault(0, 0, "", f"cannot be read: {reason.lower()}")]) from None
    if len(raw) > MOST_BYTES:
        raise ConfigError(file, [ConfigFault(0, 0, "", f"is larger than {MOST_BYTES // 1_000_000} MB")])
    try:
        if raw[:2] in {b"\xff\xfe", b"\xfe\xff"}:
            raise ConfigError(file, [ConfigFault(0, 0, "", "is UTF-16; save the file as UTF-8")])
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        message = f"byte 0x{raw[error.start]:02X} is not UTF-8; save the file as UTF-8"
        raise ConfigError(file, [ConfigFault(line, column, "", message)]) from None


def _compose(text: str, file: str) -> Node | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a reused anchor is legal; the warning would print a piece of the file
            composed: Node | None = YAML(typ="safe", pure=True).compose(StringIO(text))
            return composed
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        message = _syntax(error.problem or "", error.context or "")
        raise ConfigError(file, [ConfigFault(line, column, "", message)]) from None
    except YAMLError as error:
        position = getattr(error, "position", None)
        line = text.count("\n", 0, position) + 1 if isinstance(position, int) else 0
        column = position - text.rfind("\n", 0, position) if isinstance(position, int) else 0
        raise ConfigError(file, [ConfigFault(line, column, "", "a control character; remove it")]) from None
    except RecursionError:
        raise ConfigError(file, [ConfigFault(0, 0, "", f"nested deeper than {MOST_DEPTH} levels")]) from None
    except (ValueError, LookupError, ArithmeticError):  # the scanner's own conversions, as of \U0FFFFFFF
        raise ConfigError(
            file, [ConfigFault(0, 0, "", "is not YAML: an escape sequence or number is out of range")]
        ) from None


_SYNTAX: tuple[tuple[str, str], ...] = (
    # what the parser's words contain → ours. The parser's own words may quote the file, and so a secret.
    ("found character '\\t'", "a tab; indent with spaces"),
    ("that cannot start any token", "a text that begins with this character must be in quotes"),
    ("undefined alias", "an alias (`*name`) without its anchor (`&name`); put a text that begins with `*` in quotes"),
    ("another document", "a second document (`---`); one file has one"),
    (
        "mapping values are not allowed",
        "a second `: ` in one line, or wrong indentation; put a text with `: ` in quotes",
    ),
    ("could not find expected ':'", "a key without `:`"),
    ("unexpected end of stream", "a quote that is never closed"),
    (
        "unknown escape character",
        "an unknown escape in double quotes; write `\\\\` for a backslash or use single quotes",
    ),
    ("escape sequence", "an unknown escape in double quotes; write `\\\\` for a backslash or use single quotes"),
    ("expected ',' or ']'", "a list that is never closed with `]`, or a comma is missing"),
    ("expected ',' or '}'", "a mapping that is never closed with `}`, a comma is missing, or a text needs quotes"),
    ("expected <block end>", "the indentation does not match the lines above"),
    ("found undefined tag handle", "tags (`!name`) are not used here; put a text that begins with `!` in quotes"),
)


def _syntax(problem: str, context: str) -> str:
    for words, ours in _SYNTAX:
        if words in problem:
            return ours
    if "flow" in context:
        return "a bracket or brace that is never closed"
    return "is not YAML from here on; are indentation, colons, quotes and brackets in order?"


def _position(node: Node) -> Position:
    return node.start_mark.line + 1, node.start_mark.column + 1


class _Reader:
    """Unfolds a node graph into plain values."""

    def __init__(self, file: str, environment: Mapping[str, str]) -> None:
        self.document = Document(file)
        self.faults: list[ConfigFault] = []
        self.too_many = False
        self._environment = environment
        self._left = MOST_VALUES
        self._open: set[int] = set()

    def value(self, node: Node, path: Path) -> Any:
        self._left -= 1
        if self._left < 0:
            self.too_many = True
            return None
        self.document.values[path] = _position(node)
        if id(node) in self._open:
            return self._unreadable(path, "an alias within its own anchor")
        if len(path) > MOST_DEPTH:
            return self._unreadable(path[:2], f"nested deeper than {MOST_DEPTH} levels")
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        self._open.add(id(node))
        made: Any = None
        if isinstance(node, MappingNode):
            made = self._mapping(node, path)
        elif isinstance(node, SequenceNode):
            made = self._sequence(node, path)
        self._open.discard(id(node))
        return made

    def _sequence(self, node: SequenceNode, path: Path) -> list[Any]:
        items = []
        for index, item in enumerate(node.value):
            self.document.keys[(*path, index)] = _position(item)
            items.append(self.value(item, (*path, index)))
            if self.too_many:
                break
        return items

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self.faults.append(
                    ConfigFault(*_position(key), dotted(path), "expected a text as key, got a list or mapping")
                )
                continue
            name: str = key.value
            if name == "<<" and key.style is None:
                message = (
                    "merge keys (`<<`) are not part of YAML 1.2; what machines have in common belongs into a profile"
                )
                self.faults.append(ConfigFault(*_position(key), dotted(path), message))
                self.document.unreadable.add(path)
                continue
            if name in made:
                first = self.document.keys[(*path, name)][0]
                fault = ConfigFault(*_position(key), dotted((*path, name)), f"is given twice, first in line {first}")
                self.faults.append(fault)
                continue
            self.document.keys[(*path, name)] = _position(key)
            made[name] = self.value(value, (*path, name))
            if self.too_many:
                break
        return made

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        text: str = node.value
        if not str(node.tag).startswith("tag:yaml.org,2002:") or "/" in str(node.tag).removeprefix(
            "tag:yaml.org,2002:"
        ):
            message = "tags (`!name`) are not used here; put a text that begins with `!` in quotes"
            return self._unreadable(path, message)
        if "${" in text:
            try:
                made = substitute(text, self._environment)
            except SubstitutionError as error:
                return self._unreadable(path, str(error))
            if isinstance(made, Substituted):
                self.document.put_in.update(made.put_in)
            return made
        return text if node.style is not None else plain(text)

    def _unreadable(self, path: Path, message: str) -> Unreadable:
        self.faults.append(self.document.fault(path, message))
        self.document.unreadable.add(path)
        return UNREADABLE


class Unreadable(str):
    """Stands for a value that could not be had; whatever is wrong with it has been said."""

    __slots__ = ()


UNREADABLE = Unreadable("")


def plain(text: str) -> Any:
    """What an unquoted scalar is in YAML 1.2: None, a Boolean, a number or the text itself."""
    if _NULL.match(text):
        return None
    if _BOOLEAN.match(text):
        return text[0] in "tT"
    if _WHOLE.match(text):
        return int(text)
    if text in _SPECIAL:
        return float(text.replace(".", ""))
    if _REAL.match(text):
        return float(text)
    return text
