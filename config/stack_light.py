"""A stack light as a state model: lamps to states, in an order of what matters more.

Rule 1: the meanings are data, by the colour code of IEC 60204-1; a plant may give each lamp another (`lamps`).
Rule 2: of several lit lamps the first in `COLOURS` counts. Red comes first; green before yellow, since a machine that
works and warns still works. Other combinations are own rules, which come before these.
Rule 3: a blinking lamp means what it means when lit, unless `lamps` says otherwise: no standard tells.
Imports: standard library, config, kpi.plant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from config.ready_rule import ReadyRule
from kpi.plant import State

COLOURS: Final = ("red", "green", "yellow", "blue", "white", "cyan", "purple")
"""In the order in which they count."""

_SIGNAL_COLOUR: Final = {"red": 1, "green": 2, "blue": 3, "yellow": 4, "purple": 5, "cyan": 6, "white": 7}
"""OPC UA IA, SignalColor."""

DARK: Final = "dark"

USUAL: Final[Mapping[str, tuple[State, str]]] = {
    "red": (State.BREAKDOWN, "emergency, hazardous condition"),
    "green": (State.PRODUCING, "normal condition"),
    "yellow": (State.STOPPED, "abnormal condition"),
    "blue": (State.STOPPED, "mandatory: the operator has to act"),
    "white": (State.IDLE, "neutral"),
    DARK: (State.OFF, "ours: no lamp is lit"),
}
"""Lamp → what it means, and what IEC 60204-1 says of its colour. Cyan and purple have no usual meaning."""

LAMPS: Final = (*COLOURS, *(f"{colour}_blinking" for colour in COLOURS), DARK)
"""What `lamps` may give a meaning to."""

_LIT, _BLINKING = 1, 2
_BLINKING_MODES = (1, 2)  # OPC UA IA, SignalMode: blinking, flashing


def lamp_rules(signals: frozenset[str], lamps: Mapping[str, State]) -> Iterator[ReadyRule]:
    """The rules for the lamps that a machine has. lamps: meanings that differ from the usual."""
    meaning = {lamp: state for lamp, (state, _) in USUAL.items()} | dict(lamps)
    for colour in COLOURS:
        steady = meaning.get(colour)
        blinking = meaning.get(f"{colour}_blinking", steady)
        if colour in signals:
            if blinking is not None:
                yield from _blinking(colour, f"{colour}_mode", (_LIT,), signals, blinking)
                yield ReadyRule({colour: (_BLINKING,)}, blinking)
            if steady is not None:
                yield ReadyRule({colour: (_LIT,)}, steady)
        if "colour" in signals:
            lit = (_SIGNAL_COLOUR[colour],)
            if blinking is not None:
                yield from _blinking("colour", "colour_mode", lit, signals, blinking)
            if steady is not None:
                yield ReadyRule({"colour": lit}, steady)
    dark: dict[str, tuple[int | str, ...]] = {lamp: (0,) for lamp in (*COLOURS, "colour") if lamp in signals}
    yield ReadyRule(dark, meaning[DARK])


def _blinking(lamp: str, mode: str, lit: tuple[int, ...], signals: frozenset[str], state: State) -> Iterator[ReadyRule]:
    if mode in signals:
        yield ReadyRule({lamp: lit, mode: _BLINKING_MODES}, state)
