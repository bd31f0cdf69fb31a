"""From a document to the models: every fault of shape in words, and what is left when faulty parts are set aside.

Rule: the model decides, this only speaks. Pydantic's words are for programmers; each kind of its errors has a sentence
here, and a kind that is new still gets its path and place.

All faults at once has a second half: a misspelled option of one machine must not hide an unknown profile of another.
Two ways were weighed: to check references on the bare tree as well (every rule twice), or to take the faulty machine,
profile or connection out of the tree and go on with the rest. The second won; what was taken out is still known by
name, so that nothing is called unknown that is only faulty.
Imports: standard library, pydantic, config.
"""

from __future__ import annotations

import types
import typing
from typing import Any, Union

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from config.document import Document, Unreadable, item
from config.errors import ConfigFault, Path, suggestion
from config.models import PlantConfig, Rows
from config.quantities import shown

_SECRETS = {"password", "token"}
_KINDS = {"opcua", "mqtt"}
_ROOMS = ("connections", "products", "profiles", "reasons", "kpis")
"""Mappings of parts by name, each of which is set aside on its own."""


def validate(document: Document) -> tuple[PlantConfig | None, list[ConfigFault], frozenset[Path]]:
    """The configuration, its faults of shape, and the paths of the parts that were set aside for them.

    The configuration is None where too little is left to go on with.
    """
    aside = {_part(path) for path in document.unreadable}
    faults: dict[tuple[Path, str], ConfigFault] = {}
    try:
        config = PlantConfig.model_validate(document.tree)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            path = _path(details["loc"], document.tree)
            if not _was_told(document, path, details["type"]):
                faults.setdefault((path, details["type"]), _fault(document, path, details))
            aside.add(_part(path))
    if aside:
        tree, rows = _without(document.tree, aside)
        try:
            config = PlantConfig.model_validate(tree)
        except ValidationError:  # no line is left, or the top is not options at all
            return None, list(faults.values()), frozenset(aside)
        config.keep_rows(rows)
    return config.read_from(document), list(faults.values()), frozenset(aside)


def _path(loc: tuple[int | str, ...], tree: Any) -> Path:
    """Where the fault is, without the steps that only pydantic knows: the kind of a union, `[key]`."""
    path: list[int | str] = []
    value = tree
    for step in loc:
        if step == "[key]" or (step in _KINDS and isinstance(value, dict) and value.get("type") == step):
            continue
        path.append(step)
        value = item(value, step)
    return tuple(path)


def _was_told(document: Document, path: Path, kind: str) -> bool:
    """Whether a value, or the mapping that lacks an option, could not be read in the first place."""
    if kind in {"missing", "union_tag_not_found"}:
        return any(path[:length] in document.unreadable for length in range(len(path) + 1))
    return isinstance(document.get(path), Unreadable)


def _part(path: Path) -> Path:
    """The part of the file that a fault spoils: a machine, a line, a profile, a connection, a product, a room."""
    if path[:1] == ("lines",):
        if len(path) >= 4 and path[2] == "machines":
            return path[:4]
        return path[:2] if len(path) < 3 or path[2] in {"name", "area", "machines"} else path[:3]
    if path[:1] and path[0] in _ROOMS:
        return path[:2]
    return path[:1]


def _without(tree: dict[str, Any], aside: set[Path]) -> tuple[dict[str, Any], Rows]:
    """The tree without the parts, and where its lines and machines stood before."""
    rest = {name: value for name, value in tree.items() if (name,) not in aside}
    for room in _ROOMS:
        if isinstance(rest.get(room), dict):
            rest[room] = {name: value for name, value in rest[room].items() if (room, name) not in aside}
    if ("plant",) in aside:
        rest["plant"] = _stand_in(tree.get("plant"))
    lines, rows = [], []
    for row, line in enumerate(rest["lines"]) if isinstance(rest.get("lines"), list) else ():
        here = ("lines", row)
        if here in aside or not isinstance(line, dict):
            continue
        columns = [column for column in range(len(line["machines"])) if (*here, "machines", column) not in aside]
        if columns:
            kept = {name: value for name, value in line.items() if (*here, name) not in aside}
            lines.append({**kept, "machines": [line["machines"][column] for column in columns]})
            rows.append((row, tuple(columns)))
    return {**rest, "lines": lines}, tuple(rows)


def _stand_in(given: Any) -> dict[str, Any]:
    """Names to go on with where `plant` is faulty, so that `{site}` in topics stays what it is."""
    site = given.get("site") if isinstance(given, dict) else None
    return {"site": site if isinstance(site, str) and site else "unreadable", "time_zone": "UTC"}


def _fault(document: Document, path: Path, details: ErrorDetails) -> ConfigFault:
    kind, value = details["type"], details["input"]
    if kind == "extra_forbidden":
        known = options_at(path[:-1], document.tree)
        return document.fault(path, f"unknown option{suggestion(str(path[-1]), known, most_listed=12)}", at_key=True)
    if kind == "missing":
        return document.fault(path, f"is missing{_purpose(path, document.tree)}", at_key=True)
    if kind == "union_tag_invalid":
        path = (*path, "type")
    secret = bool(path) and path[-1] in _SECRETS
    message = _sentence(kind, value if not secret else _Hidden(), details)
    return document.fault(path, message, at_key=details["loc"][-1:] == ("[key]",))


class _Hidden:
    """Stands for a value that is nobody's business."""


_OPTIONS = "options (`name: value`)"

_EXPECTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "`true` or `false`",
    "model_type": _OPTIONS,
    "model_attributes_type": _OPTIONS,
    "dict_type": _OPTIONS,
    "list_type": "a list",
    "finite_number": "a finite number",
    "string_too_short": "a text that is not empty",
    "string_pattern_mismatch": "a host name or an IP address",
}


_LIMITS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
    "string_too_long": ("a text of at most", "max_length"),
}

_PLAIN = {
    "too_short": "expected at least one",
    "union_tag_not_found": "`type` is missing: `opcua` or `mqtt`",
}


def _sentence(kind: str, value: Any, details: ErrorDetails) -> str:
    context = details.get("ctx", {})
    if kind == "fault":
        return str(context["message"])
    if isinstance(value, _Hidden):
        return "expected a text in quotes"
    got = shown(value)
    if kind in _EXPECTED:
        if _EXPECTED[kind] == _OPTIONS and isinstance(value, str):
            got = "a text"  # whatever stands where options belong may be a secret
        return f"expected {_EXPECTED[kind]}, got {got}{_remedy(kind, value)}"
    if kind in _LIMITS:
        words, name = _LIMITS[kind]
        return f"expected {words} {context[name]:g}{' characters' if name == 'max_length' else ''}, got {got}"
    if kind == "union_tag_invalid":
        return f"unknown kind of connection{_kind_hint(value)}"
    return _PLAIN.get(kind, "is not what belongs here")


def _remedy(kind: str, value: Any) -> str:
    if kind == "string_type" and isinstance(value, int | float):
        return "; write it in quotes"
    return "; write `[…]` around it" if kind == "list_type" and isinstance(value, str | int | float) else ""


def _kind_hint(value: Any) -> str:
    given = value.get("type") if isinstance(value, dict) else None
    return suggestion(given, sorted(_KINDS)) if isinstance(given, str) else "; known are `mqtt`, `opcua`"


def _purpose(path: Path, tree: Any) -> str:
    for model in _models_at(path[:-1], tree):
        for name, option in model.model_fields.items():
            if path[-1] in {name, option.alias} and option.description:
                text = option.description.rstrip(".")
                return f": {text if text[1:2].isupper() else text[:1].lower() + text[1:]}"
    return ""


def options_at(path: Path, tree: Any) -> list[str]:
    """The options that are known at a path."""
    return [option.alias or name for model in _models_at(path, tree) for name, option in model.model_fields.items()]


def _models_at(path: Path, tree: Any) -> list[type[BaseModel]]:
    found: list[Any] = [PlantConfig]
    value = tree
    for step in path:
        found = [below for kind in found for below in _below(kind, step)]
        value = item(value, step)
    models = [kind for kind in found if isinstance(kind, type) and issubclass(kind, BaseModel)]
    kind_given = value.get("type") if isinstance(value, dict) else None
    of_kind = [
        m
        for m in models
        if "type" in m.model_fields and kind_given in typing.get_args(m.model_fields["type"].annotation)
    ]
    return of_kind or models


def _below(kind: Any, step: int | str) -> list[Any]:
    """The kinds of value that an option or item of a kind may have."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, option in kind.model_fields.items():
            if step in {name, option.alias}:
                return _unfold(option.annotation)
        return []
    if typing.get_origin(kind) in {dict, list}:
        return _unfold(typing.get_args(kind)[-1])
    return []


def _unfold(annotation: Any) -> list[Any]:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _unfold(typing.get_args(annotation)[0])
    if origin in {Union, types.UnionType}:
        return [kind for part in typing.get_args(annotation) for kind in _unfold(part)]
    return [annotation]
