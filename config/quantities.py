"""Durations, sizes, times of day and units: texts with their unit in sight, read once.

Rule: a quantity without unit is a fault, and so is one that nobody can mean (negative, endless).
Imports: standard library, pydantic, config.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from config.substitution import Substituted

SECOND_NS: Final = 1_000_000_000

DURATIONS: Final[Mapping[str, int]] = {
    "ms": 1_000_000,
    "s": SECOND_NS,
    "min": 60 * SECOND_NS,
    "h": 3_600 * SECOND_NS,
    "d": 86_400 * SECOND_NS,
}
"""Unit → nanoseconds."""

SIZES: Final[Mapping[str, int]] = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
"""Unit → bytes."""

ENERGY: Final[Mapping[str, float]] = {
    "Wh": 1e-3,
    "kWh": 1.0,
    "MWh": 1e3,
    "J": 1 / 3.6e6,
    "kJ": 1 / 3.6e3,
    "MJ": 1 / 3.6,
    "GJ": 1e3 / 3.6,
}
"""Unit → kWh."""

POWER: Final[Mapping[str, float]] = {"W": 1e-3, "kW": 1.0, "MW": 1e3}
"""Unit → kW."""

_QUANTITY = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?) ?([A-Za-zµμ]*)\Z")
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])\Z")
_MOST = 3_000_000_000_000_000_000
"""Nanoseconds (95 years) or bytes; nothing larger fits int64 with room to add."""


_MOST_SHOWN = 80
"""Characters of a value that a message shows."""


def fault(message: str) -> PydanticCustomError:
    """An error whose text is meant for the operator as it is."""
    return PydanticCustomError("fault", "{message}", {"message": message})


def shown(value: object) -> str:
    """A value as a message may show it: nothing that was substituted, no password of a URL, not too much."""
    if isinstance(value, Substituted):
        return f"the value of `{value.shown}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str) and value:
        masked = re.sub(r"//[^/@\s]*@", "//…@", value)
        return f"`{masked}`" if len(masked) <= _MOST_SHOWN else f"`{masked[:_MOST_SHOWN]}…`"
    if isinstance(value, int | float):
        return f"the number {value}"
    kinds: dict[type, str] = {str: "an empty text", list: "a list", dict: "a mapping"}
    return kinds.get(type(value), "nothing")


def _read(value: object, units: Mapping[str, int], what: str, example: str) -> int:
    choices = ", ".join(units)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise fault(f"expected a {what} such as `{example}`, got {shown(value)}")
    found = _QUANTITY.match(value if isinstance(value, str) else f"{value} ")
    if found is None:
        raise fault(f"expected a {what} such as `{example}`, got {shown(value)}")
    number, unit = found.groups()
    if not unit:
        raise fault(f"expected a {what} with its unit ({choices}), as in `{example}`, got {shown(value)}")
    if unit not in units:
        raise fault(f"expected one of the units {choices}, as in `{example}`, got {shown(value)}")
    amount = Decimal(number) * units[unit]
    if abs(amount) > _MOST:
        raise fault(f"expected a smaller {what}, got {shown(value)}")
    return int(amount)


def read_duration(value: object) -> int:
    """Nanoseconds of a duration with unit; more than 0."""
    made = _duration_or_zero(value)
    if made == 0:
        raise fault(f"expected more than 0 s, got {_bare(value)}")
    return made


def _duration_or_zero(value: object) -> int:
    made = _read(value, DURATIONS, "duration", "500 ms")
    if made < 0:
        raise fault(f"expected more than 0 s, got {_bare(value)}")
    return made


def _bare(value: object) -> str:
    return shown(value) if isinstance(value, Substituted) else str(value)


def _size(value: object) -> int:
    made = _read(value, SIZES, "size", "1 GB")
    if made <= 0:
        raise fault(f"expected more than 0 B, got {_bare(value)}")
    return made


class DurationNs(int):
    """A default in nanoseconds, which the JSON Schema shows with its unit."""


class SizeBytes(int):
    """A default in bytes, which the JSON Schema shows with its unit."""


def duration_text(value: int) -> str:
    """A duration as the configuration writes it, in the largest unit that divides it."""
    return _in_largest(value, DURATIONS)


def size_text(value: int) -> str:
    """A size as the configuration writes it, in the largest unit that divides it."""
    return _in_largest(value, SIZES)


def _in_largest(value: int, units: Mapping[str, int]) -> str:
    for unit, worth in sorted(units.items(), key=lambda item: -item[1]):
        if value >= worth and value % worth == 0:
            return f"{value // worth} {unit}"
    smallest = min(units.items(), key=lambda item: item[1])
    return f"{value / smallest[1]:g} {smallest[0]}"


def _schema(units: Mapping[str, int], example: str) -> WithJsonSchema:
    pattern = rf"^[0-9]+(\.[0-9]+)? ?({'|'.join(units)})$|\$\{{"
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example]})


Duration = Annotated[
    int, BeforeValidator(read_duration), PlainSerializer(duration_text, return_type=str), _schema(DURATIONS, "500 ms")
]
"""Nanoseconds, more than 0; written with unit."""

DurationOrZero = Annotated[
    int, BeforeValidator(_duration_or_zero), PlainSerializer(duration_text, return_type=str), _schema(DURATIONS, "0 s")
]
"""Nanoseconds, 0 or more; written with unit."""

Size = Annotated[int, BeforeValidator(_size), PlainSerializer(size_text, return_type=str), _schema(SIZES, "1 GB")]
"""Bytes, more than 0; written with unit."""


def _stale_after(value: object) -> object:
    return value if value == "never" else read_duration(value)


StaleAfter = Annotated[
    int | Literal["never"],
    PlainValidator(_stale_after),
    PlainSerializer(lambda value: value if value == "never" else duration_text(value), return_type=str),
    WithJsonSchema({"type": "string", "pattern": rf"^[0-9]+(\.[0-9]+)? ?({'|'.join(DURATIONS)})$|^never$|\$\{{"}),
]
"""Nanoseconds, or `never`."""


def ns(text: str) -> DurationNs:
    """A duration for a default."""
    return DurationNs(_read(text, DURATIONS, "duration", "500 ms"))


def size(text: str) -> SizeBytes:
    """A size for a default."""
    return SizeBytes(_read(text, SIZES, "size", "1 GB"))


def _number(value: object) -> object:
    """A substituted text as the number it spells: substitution yields texts only."""
    if isinstance(value, Substituted):
        for kind in (int, float):
            try:
                return kind(value)
            except ValueError:
                continue
        raise fault(f"expected a number, got {shown(value)}")
    return value


def _flag(value: object) -> object:
    if isinstance(value, Substituted):
        if value.lower() in {"true", "false"}:
            return value.lower() == "true"
        raise fault(f"expected `true` or `false`, got {shown(value)}")
    return value


_SUBSTITUTION = {"type": "string", "pattern": r"\$\{"}

Whole = Annotated[int, BeforeValidator(_number), WithJsonSchema({"anyOf": [{"type": "integer"}, _SUBSTITUTION]})]
Real = Annotated[
    float,
    BeforeValidator(_number),
    Field(allow_inf_nan=False),
    WithJsonSchema({"anyOf": [{"type": "number"}, _SUBSTITUTION]}),
]
Flag = Annotated[bool, BeforeValidator(_flag), WithJsonSchema({"anyOf": [{"type": "boolean"}, _SUBSTITUTION]})]


def _time_of_day(value: object) -> time:
    found = _TIME.match(value) if isinstance(value, str) else None
    if found is None:
        raise fault(f'expected a time of day such as "06:00", got {shown(value)}')
    return time(int(found.group(1)), int(found.group(2)))


def _end_of_day(value: object) -> time:
    return time(0) if value == "24:00" else _time_of_day(value)


def _time_text(value: time) -> str:
    return f"{value:%H:%M}"


TimeOfDay = Annotated[
    time,
    BeforeValidator(_time_of_day),
    PlainSerializer(_time_text, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$", "examples": ["06:00"]}),
]
"""A time by the plant's wall clock."""

EndOfDay = Annotated[
    time,
    BeforeValidator(_end_of_day),
    PlainSerializer(_time_text, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$", "examples": ["14:00"]}),
]
"""The same, with 24:00 for midnight at the end."""


def _day(value: object) -> date:
    try:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise fault(f"expected a date such as `2026-10-01`, got {shown(value)}")


Day = Annotated[
    date,
    BeforeValidator(_day),
    PlainSerializer(lambda value: value.isoformat(), return_type=str),
    WithJsonSchema({"type": "string", "format": "date", "examples": ["2026-10-01"]}),
]
"""A date of the plant's calendar."""
