"""Names and words for what the engine gives as numbers: codes, tags, instants, and why a span is what it is.

Rule: a word stands beside its figure, never in place of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from config.compiled import CompiledPlant, Reason, TagInfo
from kpi.explain import Heard, Span
from kpi.plant import Machine, State

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def local(at: int, timezone: str) -> datetime:
    """An instant (ns) on the plant's wall clock, to the microsecond."""
    return (_EPOCH + timedelta(microseconds=at // 1_000)).astimezone(ZoneInfo(timezone))


def clock(at: int, timezone: str, day_of: int | None = None) -> str:
    """An instant (ns) as people write it; with the date where it is not on the day of `day_of`."""
    moment = local(at, timezone)
    date = "" if day_of is not None and moment.date() == local(day_of, timezone).date() else f"{moment:%Y-%m-%d} "
    fraction = f"{at % 1_000_000_000:09}".rstrip("0")
    return f"{date}{moment:%H:%M:%S}{'.' if fraction else ''}{fraction}"


def decimal(amount: int, digits: int) -> str:
    """A stored integer in its unit, exactly: `digits` of it stand behind the point."""
    sign, amount = ("-" if amount < 0 else ""), abs(amount)
    whole, rest = divmod(amount, 10**digits)
    behind = f"{rest:0{digits}}".rstrip("0") if digits else ""
    return f"{sign}{whole:,}{'.' if behind else ''}{behind}"


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """Words about one machine. texts: code → text. compiled: None where no plant file is at hand."""

    machine: Machine
    timezone: str
    texts: Mapping[int, str]
    compiled: CompiledPlant | None

    def text(self, code: int | None) -> str:
        """The text of a product or reason, empty where there is none."""
        return "" if code is None else self.texts.get(code, f"code {code}")

    def tag(self, tag: int) -> TagInfo | None:
        """What a tag is; None where there is none."""
        tags = () if self.compiled is None else self.compiled.tags.tags
        return tags[tag] if 0 <= tag < len(tags) else None

    def value(self, tag: int, value: float) -> str | float:
        """A value as the source says it: the text where it is one."""
        info = self.tag(tag)
        return self.texts.get(int(value), value) if info is not None and info.text else value

    def reason(self, code: int | None) -> Reason | None:
        """What the plant file says of a stop reason; None where it says nothing."""
        known = () if self.compiled is None else self.compiled.reasons.get(self.machine.id, ())
        text = self.text(code)
        return next((reason for reason in known if reason.code == text), None)

    def rule(self, number: int) -> dict[str, list[str | float]]:
        """What a rule of the state model asks for: signal → values, of which one must be there."""
        tag_of = dict(zip(self.machine.state_model.signals, self.machine.state_signals, strict=False))
        when = self.machine.state_model.rules[number].when
        return {name: [self.value(tag_of[name].tag, one) for one in sorted(values)] for name, values in when.items()}

    def because(self, span: Span) -> str:
        """Why a span has its state, without when: equal words for equal causes."""
        origin = span.origin
        if origin is None:
            given = "" if span.reason is None else f", stop reason `{self.text(span.reason)}`"
            return f"{span.state.name.lower()}{given}, as the journal has it"
        said = self._said(span)
        if span.state is not origin.by_length:
            reason = self.reason(span.reason)
            called = "" if reason is None or not reason.name else f" ({reason.name})"
            return f"{said}; stop reason `{self.text(span.reason)}`{called} makes it {_name(span.state)}"
        if origin.by_length is not origin.said:
            return f"{said}; {self._by_length(origin.by_length)}"
        return said

    def _by_length(self, state: State) -> str:
        """What the length of a stop makes of it."""
        if state is State.PRODUCING:
            return f"a pause within production, shorter than {decimal(self.machine.cycle_gap_ns or 0, 9)} s: producing"
        limit = decimal(self.machine.minor_stop_ns or 0, 9)
        length = "shorter than" if state is State.STOPPED else "not shorter than"
        return f"the stop as a whole is {length} {limit} s of planned busy time: {_name(state)}"

    def _said(self, span: Span) -> str:
        origin = span.origin
        assert origin is not None
        model = self.machine.state_model
        if not model.signals:
            return "no state signals: unknown"
        if origin.rule is not None and origin.matches:
            return f"{self._heard(origin.heard, model.rules[origin.rule].when)}: {_name(origin.said)}"
        asked = model.signals if origin.rule is None else tuple(model.rules[origin.rule].when)
        unheard = [f"`{one.signal}`: {one.not_known}" for one in origin.heard if one.signal in asked and one.not_known]
        if unheard:
            return "; ".join(unheard)
        return f"{self._heard(origin.heard, model.signals)}: no rule covers that"

    def _heard(self, heard: tuple[Heard, ...], signals: object) -> str:
        assert hasattr(signals, "__contains__")
        said = [
            f"`{one.signal}` = {figure(self.value(one.tag, one.value))}"
            for one in heard
            if one.signal in signals and one.value is not None
        ]
        return ", ".join(said) or "always"


def _name(state: State) -> str:
    return state.name.lower().replace("_", " ")


def figure(value: str | float) -> str:
    """A value as people write it."""
    return value if isinstance(value, str) else f"{value:.15g}"
