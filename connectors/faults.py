"""The names under which a source's bad input is counted. Nothing is dropped without one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum


class Fault(StrEnum):
    """Why a value, a message or an item was set aside or delivered as BAD; health, logs and metrics say it so."""

    BAD_STATUS = "bad_status"  # delivered as a BAD sample
    NOT_FINITE = "not_finite"  # NaN or infinity; delivered as a BAD sample
    WRONG_TYPE = "wrong_type"  # an array, an object, a structure where a scalar belongs; delivered as BAD
    NOT_A_NUMBER = "not_a_number"  # a text where a number belongs; delivered as BAD
    TOO_MANY_TEXTS = "too_many_texts"  # text dictionary of the tag is full; delivered as BAD
    BAD_TIMESTAMP = "bad_timestamp"  # unreadable or missing where one is required: receive time used
    FUTURE_TIMESTAMP = "future_timestamp"  # later than the agent's clock allows; set aside
    MISSING_PATH = "missing_path"  # the JSON has no such path; nothing delivered
    MALFORMED_JSON = "malformed_json"
    TRUNCATED_JSON = "truncated_json"
    INVALID_UTF8 = "invalid_utf8"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    UNKNOWN_TOPIC = "unknown_topic"  # arrived by a wildcard, and no item wants it
    UNKNOWN_NODE = "unknown_node"  # the server does not know it; set aside and retried
    REFUSED_ITEM = "refused_item"  # the server or broker refuses the item for another reason; set aside, retried
    QUEUE_OVERFLOW = "queue_overflow"  # the server dropped values before it sent them (InfoBits, Part 4, 7.39)
    SEQUENCE_GAP = "sequence_gap"  # notifications missing and not to be had again by Republish
    UNDECODABLE = "undecodable"  # bytes that do not follow the protocol


class FaultCounts:
    """Counts of faults since the start, by name, with the item that had the latest one as an example."""

    def __init__(self) -> None:
        self._counts: Counter[Fault] = Counter()
        self._examples: dict[Fault, str] = {}

    def add(self, fault: Fault, example: str = "", n: int = 1) -> None:
        """Count n faults; `example` names the node, topic or tag and, shortened, what came. Never a secret."""
        if n <= 0:
            return
        self._counts[fault] += n
        if example:
            self._examples[fault] = example[:200]

    @property
    def counts(self) -> Mapping[Fault, int]:
        """Fault → how often since the start."""
        return dict(self._counts)

    @property
    def examples(self) -> Mapping[Fault, str]:
        """Fault → the latest example."""
        return dict(self._examples)
