"""What is wrong with a configuration, said so that the operator can put it right.

Rule 1: a fault says where, what was expected, what came, and the nearest thing that would be right.
Rule 2: all faults of a file in one error; a value that came from the environment or a secret file is never in a text.
Imports: standard library.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MOST_SHOWN = 50
"""Faults in the text of one error: more than that scroll away and are usually one mistake."""

_MOST_CLOSE = 10
"""Words that are looked at more closely, of those with the most letters in common."""

_PLAIN_KEY = re.compile(r"[\w-]+\Z")

Path = tuple[str | int, ...]
"""Keys and list indexes from the top of the file to a value."""


def dotted(path: Path) -> str:
    """The path as people write it: `lines[0].machines[3].id`; a key that is more than a word in brackets."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.match(step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step, ensure_ascii=False)}]"
    return text


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant; None where nothing is near."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(word.lower(), by_lower, n=_MOST_CLOSE, cutoff=0.6)
    # difflib counts common letters, so `oea` is as near to `ooe` as to `oee`; a hand makes the fewest slips
    return by_lower[min(found, key=lambda candidate: _slips(word.lower(), candidate))] if found else None


def _slips(word: str, candidate: str) -> int:
    """Letters that were left out, put in, mistaken or swapped with their neighbour between two words."""
    before: list[int] = []
    last = list(range(len(candidate) + 1))
    for i, letter in enumerate(word, 1):
        row = [i]
        for j, other in enumerate(candidate, 1):
            fewest = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (letter != other))
            if i > 1 and j > 1 and (letter, word[i - 2]) == (candidate[j - 2], other):
                fewest = min(fewest, before[j - 2] + 1)
            row.append(fewest)
        before, last = last, row
    return last[-1]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`, did you mean …?`, or nothing."""
    guess = nearest(word, known)
    return "" if guess is None else f", did you mean `{guess}`?"


def suggestion(word: str, known: Iterable[str], *, most_listed: int = 8) -> str:
    """`, did you mean …?`, else what there is to choose from, else nothing."""
    choices = list(known)
    guess = did_you_mean(word, choices)
    if guess:
        return guess
    if not choices:
        return ""
    listed = ", ".join(f"`{choice}`" for choice in choices[:most_listed])
    more = f" and {len(choices) - most_listed} more" if len(choices) > most_listed else ""
    return f"; known are {listed}{more}" if len(choices) > 1 else f"; known is {listed}"


@dataclass(frozen=True, slots=True)
class ConfigFault:
    """One thing to put right. line, column: from 1; 0 where the fault is of no single place."""

    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"line {self.line}, column {self.column}" if self.line else ""
        before = ", ".join(part for part in (place, self.path) if part)
        return f"{before}: {self.message}" if before else self.message


class ConfigError(Exception):
    """The configuration cannot be used. file: as the operator named it. faults: all of them, in the file's order."""

    def __init__(self, file: str, faults: Sequence[ConfigFault]) -> None:
        self.file = file
        self.faults = tuple(sorted(faults, key=lambda fault: (fault.line, fault.column)))
        super().__init__(file, self.faults)

    def __str__(self) -> str:
        count = len(self.faults)
        lines = [f"{self.file}: {count} fault{'s' if count != 1 else ''}"]
        lines += [f"  {fault}" for fault in self.faults[:MOST_SHOWN]]
        if count > MOST_SHOWN:
            lines.append(f"  and {count - MOST_SHOWN} more; put these right first")
        return "\n".join(lines)
