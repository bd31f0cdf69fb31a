"""The ledger's causes: where every sample and every point ended, in numbers that add up.

Samples are counted by the pipeline under causes of its own (`received`, `kept`, `refused:future_timestamp`, …). What
goes through the outbox is counted by the journal itself, in the transaction that moves it, once in points and once in
the samples that the points stand for:

    queued = delivered + waiting + journal_full + rejected

`waiting` is what the outbox holds; it is counted, not booked, so that the sum can be checked against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Cause(StrEnum):
    """Where what was put into the outbox is now."""

    QUEUED = "queued"  # put into the outbox
    DELIVERED = "delivered"  # the database said it has it
    JOURNAL_FULL = "journal_full"  # dropped, because the outbox had reached its bound
    REJECTED = "rejected"  # the database refused it for good: in the dead letters, with its words
    WAITING = "waiting"  # in the outbox now


class Unit(StrEnum):
    """What a booking counts."""

    POINTS = "points"  # lines of line protocol
    SAMPLES = "samples"  # raw samples that they stand for


ENDINGS: Final = (Cause.DELIVERED, Cause.WAITING, Cause.JOURNAL_FULL, Cause.REJECTED)

ELEMENT_ROWS_TOO_OLD: Final = "element_rows:older_than_kept"
"""Minute rows that came for an hour whose minutes are no longer kept; they could not be added to its sum."""

ARCHIVE_BLOCKS_JOURNAL_FULL: Final = "archive_blocks:journal_full"
"""Blocks of the engine's past that were dropped because the journal had reached its size: later samples than these
still correct, earlier ones no more."""


REFUSED_BEYOND_HORIZON: Final = "refused:beyond_horizon"
"""Samples that came too late to correct anything. They are kept apart, so this is the sum of the next four."""

BEYOND_HORIZON_HELD: Final = "beyond_horizon:held"
"""Those that are kept apart now; like `waiting` it is counted, not booked."""

BEYOND_HORIZON_TOO_MANY: Final = "beyond_horizon:too_many"
"""Those that went since younger ones took up all that is kept apart at most."""

BEYOND_HORIZON_JOURNAL_FULL: Final = "beyond_horizon:journal_full"
"""Those that went because the journal had reached its size."""

BEYOND_HORIZON_NOT_KEPT: Final = "beyond_horizon:not_kept"
"""Those that were counted by a version that kept none."""


def account(unit: Unit, cause: Cause) -> str:
    """Name of a total in the ledger, as in `points:delivered`."""
    return f"{unit}:{cause}"


def difference(ledger: Mapping[str, int], unit: Unit) -> int:
    """Queued minus all that became of it: 0, or something was lost without a cause."""
    return ledger.get(account(unit, Cause.QUEUED), 0) - sum(ledger.get(account(unit, end), 0) for end in ENDINGS)


def beyond_difference(ledger: Mapping[str, int]) -> int:
    """Samples counted as beyond the horizon minus all that became of them: 0, or some were lost without a cause."""
    endings = (BEYOND_HORIZON_HELD, BEYOND_HORIZON_TOO_MANY, BEYOND_HORIZON_JOURNAL_FULL, BEYOND_HORIZON_NOT_KEPT)
    return ledger.get(REFUSED_BEYOND_HORIZON, 0) - sum(ledger.get(end, 0) for end in endings)
