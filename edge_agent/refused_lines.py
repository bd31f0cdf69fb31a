"""Which lines of a body the database refuses: found by halving, so that all the others are delivered.

Rule: no I/O here but through `send`; what is sent twice on the way overwrites itself.

The lines are sorted first. Most refusals are of a whole series (its field has another type in the database), and sorted
they stand together: one run among 20,000 lines takes some thirty requests however the series were interleaved.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from edge_agent.influx_write import Answer, Outcome

MOST_REQUESTS: Final = 400
"""Requests spent on one body; what is not decided by then is refused as it stands."""

_DROPPED: Final = re.compile(r"\bdropped=(\d+)")
"""InfluxDB 1 and 2 write what they can of a body and say how many points they left."""

Send = Callable[[bytes], Answer]


@dataclass(frozen=True, slots=True)
class Refused:
    """Lines that the database will never take, and its answer to them."""

    lines: tuple[bytes, ...]
    answer: Answer

    @property
    def body(self) -> bytes:
        """The lines as a gzip-compressed body."""
        return compressed(self.lines)


@dataclass(slots=True)
class Search:
    """What halving has found so far. retry: the answer that ended it before it was done, None where it is done."""

    refused: list[Refused] = field(default_factory=list)
    retry: Answer | None = None
    requests: int = 0


def compressed(lines: Sequence[bytes]) -> bytes:
    """Lines as a gzip-compressed body."""
    squeeze = zlib.compressobj(1, wbits=31)
    return squeeze.compress(b"\n".join(lines) + b"\n") + squeeze.flush()


def find_refused(body: bytes, answer: Answer, send: Send) -> Search:
    """Narrow a refused body down.

    body: gzip-compressed line protocol that was refused with `answer`. Where `retry` is set in the result, the whole
    body has to be sent again later and nothing is decided.
    """
    search = Search()
    try:
        lines = [line for line in zlib.decompress(body, wbits=31).split(b"\n") if line]
    except zlib.error:
        # Damaged on our disk: no line can be told, and the database is right.
        search.refused.append(Refused((), answer))
        return search
    _halve(sorted(lines), answer, send, search)
    if search.retry is None:
        search.refused = _by_words(search.refused)
    return search


def _halve(lines: list[bytes], answer: Answer, send: Send, search: Search) -> None:
    """Decide on lines that were refused together."""
    if len(lines) == 1 or _all_dropped(len(lines), answer) or search.requests >= MOST_REQUESTS:
        search.refused.append(Refused(tuple(lines), answer))
        return
    middle = len(lines) // 2
    for half in (lines[:middle], lines[middle:]):
        search.requests += 1
        verdict = send(compressed(half))
        if verdict.outcome is Outcome.RETRY:
            search.retry = verdict
            return
        if verdict.outcome is Outcome.REJECTED:
            _halve(half, verdict, send, search)
            if search.retry is not None:
                return


def _all_dropped(lines: int, answer: Answer) -> bool:
    dropped = _DROPPED.search(answer.words)
    return dropped is not None and int(dropped[1]) >= lines


def _by_words(refused: Sequence[Refused]) -> list[Refused]:
    """Lines that were refused with the same words together: one dead letter for one reason."""
    by_words: dict[tuple[int, str], list[bytes]] = {}
    for part in refused:
        by_words.setdefault((part.answer.status, part.answer.words), []).extend(part.lines)
    return [
        Refused(tuple(lines), Answer(Outcome.REJECTED, status, words)) for (status, words), lines in by_words.items()
    ]
