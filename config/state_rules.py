"""State options of the file as state models of the engine: rules over numbers and text codes.

A signal is a text tag when any of its rule values is a text (`RUN`, or a number in quotes), or any key of its map is
one that is not a number; numbers then match by their text. Two ways
were weighed: an option on the signal, or to read it off the rules. The rules already say it, and an option that
contradicts them would be one more fault to make.
Imports: standard library, config, kpi.plant, connectors (text codes).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from config.errors import Path, suggestion
from config.models import StateOptions
from config.ready_rule import ReadyRule
from config.signal_options import StateSignal
from config.state_models import READY_MODELS, ReadyModel
from connectors.texts import TextCodes
from kpi.plant import State, StateModel, StateRule

Report = Callable[[Path, str], None]
"""Takes a fault: path and what is wrong."""

Value = float | bool | str

_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?\Z")


@dataclass(frozen=True, slots=True)
class CompiledState:
    """A state model and what its signals are. text: names of text tags. unused: signals that no rule speaks of."""

    model: StateModel
    text: frozenset[str]
    unused: tuple[str, ...]


NO_STATE = StateModel(("link",), (StateRule({"link": frozenset({1.0})}, State.UNKNOWN),))
"""Of a machine that does not say what it is doing, as a meter: unknown even while its connection is up."""


def number_of(value: Value) -> float | None:
    """The value as a number: Booleans are 0 and 1; None for a text that is not a number."""
    if isinstance(value, str):
        return float(value) if _NUMBER.match(value) and math.isfinite(float(value)) else None
    return float(value)


def text_of(value: Value) -> str:
    """The value as a source would write it in a text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if float(value).is_integer() else repr(value)


@dataclass(slots=True)
class StateCompiler:
    """Compiles state options; equal models are one object, so that the engine can work per kind of machine."""

    texts: TextCodes
    report: Report
    _of_options: dict[int, CompiledState] = field(default_factory=dict)
    _models: dict[object, StateModel] = field(default_factory=dict)

    def compile(self, options: StateOptions, path: Path) -> CompiledState:
        """The model of the options at a path; faults go to `report`, once for all machines of a profile."""
        known = self._of_options.get(id(options))
        if known is None:
            known = self._compile(options, path)
            self._of_options[id(options)] = known
        return known

    def _compile(self, options: StateOptions, path: Path) -> CompiledState:
        ready = READY_MODELS[options.model] if options.model else None
        own = {name for rule in options.rules for name in rule.when}
        complete = self._check_signals(options, ready, own, path)
        self._check_switches(options, ready, path)
        lamps = {lamp: State[state.upper()] for lamp, state in options.lamps.items()}
        handling = options.handling_in_cycle
        rows = ready.rules_for(frozenset(options.signals), lamps, handling=handling) if ready else ()
        text = frozenset(name for name in options.signals if self._is_text(name, options, rows))
        rules = [*self._own_rules(options, text, path), *self._ready_rules(options, rows, text)]
        if not rules and complete:
            self.report(path, "says no state: give `rules`, or a `model` (" + ", ".join(READY_MODELS) + ")")
        elif options.rules and not options.rules[0].when:
            # It would hold although the connection is down: nothing it asks for can be unknown.
            self.report(
                (*path, "rules", 0, "when"), "the first rule names no signal, so it would always hold; put it last"
            )
        used = {name for rule in rules for name in rule.when}
        signals = tuple(name for name in options.signals if name in used)
        last_sent = self._last_sent(options, ready, signals, text) if ready else {}
        key = (
            signals,
            tuple((frozenset(rule.when.items()), rule.state) for rule in rules),
            frozenset((name, frozenset(when.items())) for name, when in last_sent.items()),
        )
        model = self._models.setdefault(key, StateModel(signals, tuple(rules), last_sent))
        return CompiledState(model, text, tuple(name for name in options.signals if name not in used))

    def _check_signals(self, options: StateOptions, ready: ReadyModel | None, own: set[str], path: Path) -> bool:
        """Whether the model has the signals that it needs."""
        if options.lamps and (ready is None or not ready.one_of):
            self.report((*path, "lamps"), "belongs to the model `stack_light`")
        self._check_handling(options, ready, path)
        if ready is None:
            return True
        known = {**ready.required, **ready.optional}
        missing = [name for name in ready.required if name not in options.signals]
        none_of_them = bool(ready.one_of) and not options.signals.keys() & set(ready.one_of)
        if none_of_them:
            choices = ", ".join(f"`{name}`" for name in ready.one_of)
            self.report((*path, "signals"), f"model `{ready.name}` needs at least one of {choices}")
        for name in missing:
            message = f"model `{ready.name}` needs the signal `{name}`: {ready.required[name]}"
            self.report((*path, "signals"), message)
        for name in options.signals:
            if name not in known and name not in own:
                hint = suggestion(name, known)
                self.report((*path, "signals", name), f"is unknown to model `{ready.name}` and in no rule{hint}")
        return not missing and not none_of_them

    def _check_handling(self, options: StateOptions, ready: ReadyModel | None, path: Path) -> None:
        if not options.handling_in_cycle:
            return
        here = (*path, "handling_in_cycle")
        if ready is None or not any(rule.handling for rule in ready.rules):
            self.report(here, "belongs to the model `mtconnect`")
        elif "wait_state" not in options.signals:
            self.report(here, "has no meaning without the signal `wait_state`, which tells of loading and unloading")

    def _check_switches(self, options: StateOptions, ready: ReadyModel | None, path: Path) -> None:
        for name, signal in options.signals.items():
            here = (*path, "signals", name)
            switch = signal.switch
            if switch is None:
                if ready is not None and name in ready.switched:
                    advice = "give its thresholds, as in `switch: {on: 5, off: 3}`"
                    self.report(here, f"model `{ready.name}` needs a `switch` at the signal `{name}`; {advice}")
                for option in sorted({"scale", "offset"} & signal.model_fields_set):
                    self.report(
                        (*here, option), "has no meaning without `switch`; what rules compare is the value as sent"
                    )
                continue
            if switch.off >= switch.on:
                message = "expected less than `on`: between the two a value stays what it was"
                self.report((*here, "switch", "off"), f"{message}, got {switch.off:g} and {switch.on:g}")
            if signal.map is not None:
                self.report((*here, "map"), "has no meaning beside `switch`, which makes the value 1 or 0")

    @staticmethod
    def _is_text(name: str, options: StateOptions, rows: Sequence[ReadyRule]) -> bool:
        signal = options.signals[name]
        if signal.map is not None:
            return any(_key_number(key) is None for key in signal.map)
        if signal.switch is not None:
            return False
        own = (value for rule in options.rules for value in rule.when.get(name, ()))
        of_model = (value for row in rows for value in row.when.get(name, ()))
        return any(isinstance(value, str) for value in (*own, *of_model))

    def _own_rules(self, options: StateOptions, text: frozenset[str], path: Path) -> Iterator[StateRule]:
        for place, rule in enumerate(options.rules):
            when: dict[str, frozenset[float]] = {}
            for name, values in rule.when.items():
                here = (*path, "rules", place, "when", name)
                signal = options.signals.get(name)
                if signal is None:
                    self.report(here, f"unknown signal `{name}`{suggestion(name, options.signals)}")
                    continue
                self._check_mapped(signal, values, here)
                when[name] = self._codes(signal, values, text=name in text)
            yield StateRule(when, State[rule.state.upper()])

    def _ready_rules(
        self, options: StateOptions, rows: Sequence[ReadyRule], text: frozenset[str]
    ) -> Iterator[StateRule]:
        for row in rows:
            when = {
                name: self._codes(options.signals[name], values, text=name in text) for name, values in row.when.items()
            }
            if all(when.values()):  # a map that never yields the value leaves nothing to wait for
                yield StateRule(when, row.state)

    def _last_sent(
        self, options: StateOptions, ready: ReadyModel, signals: tuple[str, ...], text: frozenset[str]
    ) -> dict[str, dict[str, frozenset[float]]]:
        """As of the engine's `StateModel`, of the signals that there are."""
        return {
            name: {
                other: self._codes(options.signals[other], values, text=other in text) for other, values in when.items()
            }
            for name, when in ready.last_sent.items()
            if {name, *when} <= {*signals}
        }

    def _check_mapped(self, signal: StateSignal, values: tuple[Value, ...], path: Path) -> None:
        if signal.switch is not None and any(number_of(value) not in {0.0, 1.0} for value in values):
            self.report(path, "a signal with a `switch` is 1 or 0")
        if signal.map is None:
            return
        names = [text_of(name) for name in signal.map.values()]
        known = {_comparable(name) for name in signal.map.values()}
        for value in values:
            if _comparable(value) not in known:
                self.report(path, f"`{text_of(value)}` is not in the signal's `map`{suggestion(text_of(value), names)}")

    def _codes(self, signal: StateSignal, values: tuple[Value, ...], *, text: bool) -> frozenset[float]:
        """The numbers by which samples of the signal arrive for the values of a rule."""
        if signal.map is not None:
            wanted = {_comparable(value) for value in values}
            keys = [key for key, name in signal.map.items() if _comparable(name) in wanted]
            numbers = (_key_number(key) for key in keys)
            return frozenset(float(self.texts.code(key)) for key in keys) if text else frozenset(_known(numbers))
        if text:
            return frozenset(float(self.texts.code(text_of(value))) for value in values)
        return frozenset(_known(number_of(value) for value in values))


def _known(numbers: Iterator[float | None]) -> Iterator[float]:
    return (number for number in numbers if number is not None)


def _comparable(value: Value) -> float | str:
    number = number_of(value)
    return text_of(value) if number is None else number


def _key_number(key: str) -> float | None:
    """A key of a map as a number: keys are texts in every file, `true` and `1` mean what a source sends."""
    return {"true": 1.0, "false": 0.0}.get(key, number_of(key))
