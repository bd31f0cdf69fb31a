"""Messages to samples: for each topic one plan, made once, of where its values, texts and time stand.

Rule 1: one message is parsed once, whatever number of items it carries.
Rule 2: nothing here raises because of what a message holds. Each thing that is wrong is counted under its name, and
    the rest of the message counts.
Rule 3: decided here, and shown in `sample.yaml`: a path that a message leaves out is counted and delivers nothing,
    since devices that send only what changed are common; null, a list or an object where a value belongs is
    WRONG_TYPE; a text where a number belongs is NOT_A_NUMBER, also "12.5" in quotes; a number where a text belongs
    is its text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from connectors.faults import Fault, FaultCounts
from connectors.mqtt.columns import Columns
from connectors.mqtt.json_text import PayloadError, parse_json
from connectors.mqtt.paths import MISSING, Steps, parse_path, value_at
from connectors.mqtt.settings import MqttItem
from connectors.mqtt.timestamps import TimeUnit, UnreadableTimeError, to_ns
from connectors.texts import TextCodes, TooManyTextsError

MOST_TEXT_CHARACTERS: Final = 500
"""A state, a product or a stop reason is shorter; ten thousand longer ones for each tag would fill the memory."""
_KINDS: Final = {type(MISSING): "nothing", type(None): "null", dict: "an object", list: "a list"}
_PLAIN_WORDS: Final = {b"true": 1.0, b"false": 0.0}


class _Field(NamedTuple):
    tag: int
    text: bool
    label: str  # topic and path, as examples of faults name it


class _Place(NamedTuple):
    """An object or list of the document, and the fields directly in it: it is looked for once.

    step: key or index of a field in it; None where the place itself is the value.
    """

    steps: Steps
    fields: tuple[tuple[str | int | None, _Field], ...]


class _Timed(NamedTuple):
    """Places whose samples share a timestamp. steps: where it stands; None for the time of receipt."""

    steps: Steps | None
    unit: TimeUnit
    places: tuple[_Place, ...]


class TopicPlan:
    """What to do with the messages of one topic.

    Raises ValueError where a path of an item cannot be read.
    """

    def __init__(self, topic: str, items: Sequence[MqttItem], texts: TextCodes, faults: FaultCounts) -> None:
        self._topic = topic
        self._texts = texts
        self._faults = faults
        self._plain = [_Field(item.tag, item.text, topic) for item in items if item.payload == "plain"]
        timed: dict[tuple[Steps | None, TimeUnit], list[MqttItem]] = {}
        for item in items:
            if item.payload == "json":
                time_steps = None if item.time_path is None else parse_path(item.time_path)
                timed.setdefault((time_steps, item.time_unit), []).append(item)
        self._timed = tuple(_Timed(steps, unit, _places(some)) for (steps, unit), some in timed.items())

    def extract(self, payload: bytes, received: int, columns: Columns) -> None:
        """Add the samples of one message to the columns. received: ns since the epoch, UTC, of its receipt."""
        if self._timed:
            try:
                document = parse_json(payload)
            except PayloadError as error:
                self._faults.add(error.fault, f"{self._topic}: {error.found}: {_shown(payload)}")
            else:
                self._extract_json(document, received, columns)
        for field in self._plain:
            self._extract_plain(field, payload, received, columns)

    def _extract_json(self, document: Any, received: int, columns: Columns) -> None:
        for steps, unit, places in self._timed:
            time = received if steps is None else self._time(document, steps, unit, received)
            for place_steps, fields in places:
                place = value_at(document, place_steps) if place_steps else document
                for step, field in fields:
                    # Most places are objects; one look-up in place of a walk is a third of the cost.
                    if type(place) is dict:
                        value = place.get(step, MISSING) if step is not None else place
                    else:
                        value = place if step is None else value_at(place, (step,))
                    self._add(field, time, value, columns)

    def _add(self, field: _Field, time: int, value: Any, columns: Columns) -> None:
        if field.text:
            if value is not MISSING:
                self._add_text(field, time, value, columns)
                return
        else:
            try:
                columns.add(field.tag, time, value)
            except (TypeError, OverflowError):
                if value is not MISSING:
                    self._add_bad(field, time, value, columns)
                    return
            else:
                return
        self._faults.add(Fault.MISSING_PATH, field.label)

    def _time(self, document: Any, steps: Steps, unit: TimeUnit, received: int) -> int:
        value = value_at(document, steps)
        try:
            return to_ns(value, unit)
        except UnreadableTimeError as error:
            self._faults.add(Fault.BAD_TIMESTAMP, f"{self._topic}: {error}: {_kind(value)}")
            return received

    def _add_text(self, field: _Field, time: int, value: Any, columns: Columns) -> None:
        text = _text(value)
        if text is None:
            self._faults.add(Fault.WRONG_TYPE, f"{field.label}: {_kind(value)}")
        else:
            try:
                columns.add(field.tag, time, self._texts.code(_storable(text), field.tag))
            except TooManyTextsError:
                self._faults.add(Fault.TOO_MANY_TEXTS, f"{field.label}: {_shown(text)}")
            except UnicodeEncodeError:
                self._faults.add(Fault.INVALID_UTF8, f"{field.label}: {_shown(text)}")
            else:
                return
        columns.add_bad(field.tag, time)

    def _add_bad(self, field: _Field, time: int, value: Any, columns: Columns) -> None:
        kind = type(value)
        fault = Fault.NOT_A_NUMBER if kind is str else Fault.NOT_FINITE if kind is int else Fault.WRONG_TYPE
        self._faults.add(fault, f"{field.label}: {_kind(value)}")
        columns.add_bad(field.tag, time)

    def _extract_plain(self, field: _Field, payload: bytes, time: int, columns: Columns) -> None:
        if field.text:
            try:
                text = payload.decode()
            except UnicodeDecodeError:
                self._faults.add(Fault.INVALID_UTF8, f"{field.label}: {_shown(payload)}")
            else:
                self._add_text(field, time, text, columns)
            return
        value = _plain_number(payload)
        if value is not None:
            columns.add(field.tag, time, value)
            return
        fault = Fault.NOT_A_NUMBER if _is_utf8(payload) else Fault.INVALID_UTF8
        self._faults.add(fault, f"{field.label}: {_shown(payload)}")
        columns.add_bad(field.tag, time)


def _places(items: Iterable[MqttItem]) -> tuple[_Place, ...]:
    """The fields of items, by the object or list that holds them."""
    places: dict[Steps, list[tuple[str | int | None, _Field]]] = {}
    for item in items:
        steps = parse_path(item.value_path)
        field = _Field(item.tag, item.text, label(item))
        places.setdefault(steps[:-1], []).append((steps[-1] if steps else None, field))
    return tuple(_Place(steps, tuple(fields)) for steps, fields in places.items())


def label(item: MqttItem) -> str:
    """How an item is named to a person: its topic and, in a JSON document, its path."""
    return f"{item.topic} {item.value_path}" if item.value_path else item.topic


def _plain_number(payload: bytes) -> float | None:
    word = _PLAIN_WORDS.get(payload.strip().lower())
    if word is not None:
        return word
    # Python reads 1_000 as a number; no device writes it.
    if b"_" in payload or len(payload) > MOST_TEXT_CHARACTERS:
        return None
    try:
        return float(payload)
    except ValueError:
        return None


def _text(value: Any) -> str | None:
    """The text of a JSON scalar; None where it is none, or too long for a name."""
    kind = type(value)
    if kind is str:
        return value if len(value) <= MOST_TEXT_CHARACTERS else None
    if kind is bool:
        return "true" if value else "false"
    if kind is float:
        return repr(value)
    if kind is int and value.bit_length() <= MOST_TEXT_CHARACTERS:
        return str(value)
    return None


def _storable(text: str) -> str:
    """The text, if it can be written as UTF-8; a half of a surrogate pair cannot. Raises UnicodeEncodeError."""
    if not text.isascii():
        text.encode()
    return text


def _is_utf8(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def _kind(value: Any) -> str:
    """What came, for a person, without writing out what may be large."""
    name = _KINDS.get(type(value))
    if name is not None:
        return name
    if isinstance(value, str):
        return f"text {_shown(value)}" if len(value) <= MOST_TEXT_CHARACTERS else f"text of {len(value)} characters"
    if isinstance(value, int) and value.bit_length() > MOST_TEXT_CHARACTERS:
        return f"an integer of {value.bit_length()} bits"
    return repr(value)


def _shown(came: str | bytes) -> str:
    """The beginning of what came, printable whatever it was."""
    beginning = came[:60]
    text = beginning.decode(errors="backslashreplace") if isinstance(beginning, bytes) else beginning
    return repr(text.encode(errors="backslashreplace").decode())
