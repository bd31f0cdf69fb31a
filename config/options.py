"""What all options share: the base of every mapping, names, choices and checked texts.

Rule: a check names what it expected and what came; a value that was substituted is never shown.
Imports: standard library, pydantic, config.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from config.errors import suggestion
from config.quantities import Whole, fault, shown

_IDENTIFIER = re.compile(r"\w[\w.-]{0,99}\Z")
_PLACEHOLDER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def _identifier(text: str) -> str:
    if not _IDENTIFIER.match(text):
        raise fault("expected 1 to 100 letters, digits, `_`, `-` and `.`, no spaces")
    return text


def _title(text: str) -> str:
    if not text or text != text.strip() or not text.isprintable() or "\\" in text or len(text) > 100:
        raise fault("expected 1 to 100 printable characters, no backslash, no space at either end")
    return text


def _placeholder_name(text: str) -> str:
    if not _PLACEHOLDER_NAME.match(text):
        raise fault("expected a name of letters, digits and `_`")
    return text


def _placeholder_value(value: object) -> str:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise fault(f"expected a text or a whole number, got {shown(value)}")


def checked(check: Callable[[str], str | None]) -> BeforeValidator:
    """A check of a text, which says what is wrong, or None.

    It comes before the model's own look: after that a text no longer knows that it was substituted.
    """

    def validate(value: object) -> object:
        found = check(value) if isinstance(value, str) else None
        if found is not None:
            raise fault(f"{found}, got {shown(value)}")
        return value

    return BeforeValidator(validate)


def choice(what: str, *known: str) -> tuple[BeforeValidator, WithJsonSchema]:
    """One of the known words."""

    def validate(value: object) -> object:
        if isinstance(value, str) and value in known:
            return value
        hint = (
            suggestion(value, known, most_listed=12)
            if isinstance(value, str)
            else suggestion("", known, most_listed=12)
        )
        raise fault(f"expected {what}, got {shown(value)}{hint}")

    return BeforeValidator(validate), WithJsonSchema({"type": "string", "enum": list(known)})


def _rule_values(value: object) -> tuple[float | bool | str, ...]:
    values = value if isinstance(value, list) else [value]
    for one in values:
        if isinstance(one, list | dict) or one is None:
            raise fault(f"expected a number, a text, a Boolean or a list of them, got {shown(one)}")
    if not values:
        raise fault("expected at least one value")
    return tuple(values)


_SCALAR_SCHEMA: dict[str, Any] = {"type": ["number", "string", "boolean"]}

Identifier = Annotated[str, AfterValidator(_identifier)]
Title = Annotated[str, AfterValidator(_title)]
PlaceholderName = Annotated[str, AfterValidator(_placeholder_name)]
PlaceholderValue = Annotated[str, BeforeValidator(_placeholder_value), WithJsonSchema({"type": ["string", "integer"]})]
Topic = Annotated[str, Field(min_length=1)]
RuleValues = Annotated[
    Any,  # tuple of float, bool or str; spelt out, the serializer would guess which
    BeforeValidator(_rule_values),
    WithJsonSchema({"anyOf": [_SCALAR_SCHEMA, {"type": "array", "items": _SCALAR_SCHEMA, "minItems": 1}]}),
]
MapValue = Annotated[Any, BeforeValidator(lambda v: _rule_values(v)[0]), WithJsonSchema(_SCALAR_SCHEMA)]
Port = Annotated[Whole, Field(ge=1, le=65_535)]


class Options(BaseModel):
    """A mapping of options."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True, serialize_by_alias=True)
