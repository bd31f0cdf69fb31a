"""Durations, sizes, times of day and units: texts with their unit in sight, read once.

Rule: a quantity without unit is a fault, and so is one that nobody can mean (negative, endless).
Imports: standard library, pydantic, config.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Annotated, Final, Literal, TypeVar

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from config.substitution import Substituted
from kpi.pieces import AT_LEAST_STUCK_AFTER

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

GAS: Final[Mapping[str, float]] = {"m³": 1.0, "Nm³": 1.0, "L": 1e-3}
"""Unit → m³, of gas and compressed air; Nm³ is a cubic metre in standard condition, as factors mean it."""

STEAM: Final[Mapping[str, float]] = {"kg": 1.0, "t": 1e3}
"""Unit → kg."""

WATER: Final[Mapping[str, float]] = {"t": 1.0, "m³": 1.0, "kg": 1e-3, "L": 1e-3}
"""Unit → t; a cubic metre of water is taken as a tonne."""

HEAT: Final[Mapping[str, float]] = {"MJ": 1.0, "kJ": 1e-3, "GJ": 1e3, "kWh": 3.6, "MWh": 3.6e3}
"""Unit → MJ."""

MEDIA: Final[Mapping[str, Mapping[str, float]]] = {
    "gas": GAS,
    "steam": STEAM,
    "compressed_air": GAS,
    "water": WATER,
    "heat": HEAT,
}
"""Carrier → its units."""

_Date = TypeVar("_Date", bound=date)
_QUANTITY = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?) ?([A-Za-zµμ³/]*)\Z")
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
    number, unit = _split(value, units, what, example)
    amount = number * units[unit]
    if abs(amount) > _MOST:
        raise fault(f"expected a smaller {what}, got {shown(value)}")
    return int(amount)


def _split(value: object, units: Iterable[str], what: str, example: str) -> tuple[Decimal, str]:
    """The number and the unit of a quantity."""
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
    return Decimal(number), unit


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


def _schema(units: Iterable[str], example: str) -> WithJsonSchema:
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


def _stuck_after(value: object) -> object:
    made = _stale_after(value)
    if isinstance(made, int) and made < AT_LEAST_STUCK_AFTER:
        raise fault(f"expected at least {duration_text(AT_LEAST_STUCK_AFTER)}, or `never`, got {_bare(value)}")
    return made


_or_never = PlainSerializer(lambda value: value if value == "never" else duration_text(value), return_type=str)


def _schema_or_never(example: str) -> WithJsonSchema:
    pattern = rf"^[0-9]+(\.[0-9]+)? ?({'|'.join(DURATIONS)})$|^never$|\$\{{"
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example, "never"]})


StaleAfter = Annotated[int | Literal["never"], PlainValidator(_stale_after), _or_never, _schema_or_never("60 s")]
"""Nanoseconds, or `never`."""

StuckAfter = Annotated[int | Literal["never"], PlainValidator(_stuck_after), _or_never, _schema_or_never("20 min")]
"""Nanoseconds, a minute or more, or `never`."""


def _rate(
    units: Mapping[str, float], what: str, example: str
) -> tuple[BeforeValidator, PlainSerializer, WithJsonSchema]:
    """A rate in the first of the units, more than 0."""
    first = next(iter(units))

    def read(value: object) -> float:
        number, unit = _split(value, units, what, example)
        if number <= 0:
            raise fault(f"expected more than 0 {first}, got {_bare(value)}")
        return float(number) * units[unit]

    return (
        BeforeValidator(read),
        PlainSerializer(lambda value: f"{value:.15g} {first}", return_type=str),
        _schema(units, example),
    )


def _flows(units: Mapping[str, float]) -> dict[str, float]:
    """Amounts in an hour, from amounts in an hour or a minute."""
    return {f"{unit}/{time}": worth * hours for unit, worth in units.items() for time, hours in (("h", 1), ("min", 60))}


RatedPower = Annotated[float, *_rate({"kW": 1.0, "W": 1e-3, "MW": 1e3}, "power", "75 kW")]
"""kW, more than 0; written with unit."""

GasFlow = Annotated[float, *_rate(_flows(GAS), "flow", "120 m³/h")]
"""m³ in an hour, more than 0; written with unit."""

SteamFlow = Annotated[float, *_rate(_flows(STEAM), "flow", "800 kg/h")]
"""kg in an hour, more than 0; written with unit."""

WaterFlow = Annotated[float, *_rate(_flows(WATER), "flow", "40 L/min")]
"""t in an hour, more than 0; written with unit."""

HeatFlow = Annotated[float, *_rate({**_flows({"MJ": 1.0, "GJ": 1e3}), "kW": 3.6}, "flow of heat", "200 MJ/h")]
"""MJ in an hour, more than 0; written with unit."""


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


_YEARS = range(1970, 2200)
"""Years of dates: what lies outside does not fit nanoseconds since 1970, and is a slip of the finger."""


def _day(value: object) -> date:
    wanted = isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value)
    try:
        made = date.fromisoformat(str(value)) if wanted else None
    except ValueError:
        made = None
    if made is None:
        raise fault(f"expected a date such as `2026-10-01`, got {shown(value)}")
    return _of_our_time(made, value)


def _of_our_time(made: _Date, given: object) -> _Date:
    if made.year not in _YEARS:
        raise fault(f"expected a year from {_YEARS.start} to {_YEARS.stop - 1}, got {shown(given)}")
    return made


Day = Annotated[
    date,
    BeforeValidator(_day),
    PlainSerializer(lambda value: value.isoformat(), return_type=str),
    WithJsonSchema({"type": "string", "format": "date", "examples": ["2026-10-01"]}),
]
"""A date of the plant's calendar."""


def _local_time(value: object) -> datetime:
    wanted = isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}", value)
    try:
        made = datetime.fromisoformat(str(value)) if wanted else None
    except ValueError:
        made = None
    if made is None:
        raise fault(f"expected a date and time such as `2026-08-03 06:00`, got {shown(value)}")
    return _of_our_time(made, value)


LocalTime = Annotated[
    datetime,
    BeforeValidator(_local_time),
    PlainSerializer(lambda value: f"{value:%Y-%m-%d %H:%M}", return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}$",
            "examples": ["2026-08-03 06:00"],
        }
    ),
]
"""A date and time by the plant's wall clock."""
