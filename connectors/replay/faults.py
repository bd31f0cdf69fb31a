"""The names under which rows of history that are not as they should be are counted, with an example of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

MOST_NAMES: Final = 10_000
"""Different unknown tags that are remembered by name; more are only counted."""


class HistoryFault(StrEnum):
    """What is wrong with a row, and what became of it; the same words as of live input where it is the same thing."""

    BAD_TIMESTAMP = "bad_timestamp"  # missing, unreadable or before 1980; set aside
    NONEXISTENT_TIME = "nonexistent_time"  # a local time that the clocks jumped over in spring; set aside
    FUTURE_TIMESTAMP = "future_timestamp"  # set aside
    UNKNOWN_TAG = "unknown_tag"  # the plant has no such signal; set aside
    MALFORMED_ROW = "malformed_row"  # a line that cannot be taken apart; set aside
    NO_VALUE = "no_value"  # a row of a tag without a value: from then on nothing is known of it
    NOT_A_NUMBER = "not_a_number"  # a text where a number belongs: the same
    NOT_FINITE = "not_finite"  # NaN or infinity: the same
    BAD_STATUS = "bad_status"  # the historian says that the value is bad: the same
    TOO_MANY_TEXTS = "too_many_texts"  # the tag has more different texts than one can have: the same


SET_ASIDE: Final = (
    HistoryFault.BAD_TIMESTAMP,
    HistoryFault.NONEXISTENT_TIME,
    HistoryFault.FUTURE_TIMESTAMP,
    HistoryFault.UNKNOWN_TAG,
    HistoryFault.MALFORMED_ROW,
)
"""Faults that end a sample; the others deliver it as BAD."""


def where(file: str, what: str, place: int, columns: Iterable[str] = ()) -> str:
    """The place of something in a file, for the operator. what: `line` or `row`; place: its number, from 1."""
    named = [f"column `{column}`" for column in columns]
    return ", ".join([file, f"{what} {place}", *named])


class Tally:
    """Counts by name, and the first example of each.

    unknown: name in the files → rows (or, of a column, cells) that the plant has no signal for.
    """

    def __init__(self) -> None:
        self.counts: Counter[HistoryFault] = Counter()
        self.examples: dict[HistoryFault, str] = {}
        self.unknown: Counter[str] = Counter()

    def add(self, fault: HistoryFault, n: int, example: str = "") -> None:
        """Count n faults; the example names the file and what stood there."""
        if n > 0:
            self.counts[fault] += n
            if example and fault not in self.examples:
                self.examples[fault] = example if len(example) <= 200 else f"{example[:200]}…"

    def add_unknown(self, name: str, n: int) -> None:
        """Count n rows of a tag that the plant does not have."""
        if name in self.unknown or len(self.unknown) < MOST_NAMES:
            self.unknown[name] += n

    @property
    def set_aside(self) -> int:
        """Rows that became no sample."""
        return sum(self.counts[fault] for fault in SET_ASIDE)
