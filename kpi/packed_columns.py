"""Sorted samples in compressed pieces, cut between tags: what is asked of a few tags unpacks only their pieces.

Rule: a tag is in one piece, so a late sample costs one piece, however many machines there are.

Coding of a piece: runs of tags; times as steps in the largest unit that divides them all (sources that say milliseconds
leave six digits of nothing); values as they are. Columns lie by bytes, all first bytes, then all second ones, since the
high bytes of neighbours are alike. Weighed against the columns as they are, deflated: a third smaller, and faster both
ways. Stronger deflation gives a twentieth and costs twice the time.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from kpi.columns import Bool, Columns, Index, Int32

_PIECE: Final = 8_192
"""Samples of a piece, about: half a millisecond to unpack, and enough to deflate well."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The samples of the tags from first to last. count: of samples. body: as `_encoded`."""

    first: int
    last: int
    count: int
    body: bytes


@dataclass(frozen=True, slots=True, eq=False)
class PackedColumns:
    """Samples sorted by (tag, time), one a time, in pieces in order of their tags.

    used: bool, shape (tags,); samples of other tags are passed over. None = all are used.
    Unpacking raises ValueError where a piece is damaged.
    """

    pieces: Sequence[Piece]
    used: Bool | None = None

    @classmethod
    def of(cls, samples: Columns) -> PackedColumns:
        """Packs samples that are sorted by (tag, time), columns of shape (n,)."""
        return cls(list(_pieces(samples)))

    def __len__(self) -> int:
        return sum(piece.count for piece in self.pieces)

    def whole(self) -> Columns:
        """All samples of tags that are used, as columns. Raises ValueError where a piece is damaged."""
        samples = Columns.concat([_decoded(piece) for piece in self.pieces])
        return samples if self.used is None else of_used(samples, self.used)

    def of_tags(self, tags: Int32) -> Columns:
        """The samples of some tags (int32, ascending; used ones), as columns. Raises ValueError as `whole`."""
        begin = np.searchsorted(tags, [piece.first for piece in self.pieces])
        end = np.searchsorted(tags, [piece.last for piece in self.pieces], side="right")
        asked = np.flatnonzero(end > begin).tolist()
        return Columns.concat([_decoded(self.pieces[index]).of_tags(tags) for index in asked])

    def first_of(self, tags: Int32) -> Columns:
        """The first sample of each of some tags (int32, ascending) that has any. Raises ValueError as `whole`."""
        return self.of_tags(tags).first_of(tags)

    def put_in(self, more: Columns) -> tuple[PackedColumns, Columns, int]:
        """These with a few more, which of those are new, and how many are in conflict; as `Columns.put_in`."""
        if not self.pieces:
            return PackedColumns(list(_pieces(more)), self.used), more, 0
        which = np.searchsorted([piece.last for piece in self.pieces], more.tag)
        which = np.minimum(which, len(self.pieces) - 1)
        pieces = [[piece] for piece in self.pieces]
        new, conflicts = [], 0
        for index in np.unique(which).tolist():
            samples, fresh, conflicting = _decoded(self.pieces[index]).put_in(more.take(which == index))
            conflicts += conflicting
            if len(fresh):
                pieces[index] = list(_pieces(samples))
                new.append(fresh)
        return PackedColumns([piece for some in pieces for piece in some], self.used), Columns.concat(new), conflicts


def of_used(samples: Columns, used: Bool) -> Columns:
    """The samples of tags that are used: bool, shape (tags,)."""
    wanted = samples.tag < len(used)
    wanted[wanted] = used[samples.tag[wanted]]
    return samples if wanted.all() else samples.take(wanted)


def _pieces(samples: Columns) -> Iterable[Piece]:
    if not len(samples):
        return
    run = _run_starts(samples.tag)
    cuts = run[np.flatnonzero(np.diff(run // _PIECE, prepend=-1))]
    for begin, end in zip(cuts.tolist(), [*cuts[1:].tolist(), len(samples)], strict=True):
        part = samples.take(slice(begin, end))
        yield Piece(int(part.tag[0]), int(part.tag[-1]), len(part), _encoded(part))


def _run_starts(tag: Int32) -> Index:
    return np.flatnonzero(np.diff(tag, prepend=tag[0] - 1))


def _encoded(samples: Columns) -> bytes:
    """Counts of runs and of tags' samples, unit of the steps, and the columns by bytes; deflated."""
    runs = _run_starts(samples.tag)
    steps = np.diff(samples.time, prepend=0)
    unit = max(1, int(np.gcd.reduce(steps)))
    parts = [
        np.array([len(runs), unit], np.int64).tobytes(),
        samples.tag[runs].tobytes(),
        np.diff(runs, append=len(samples)).astype(np.int32).tobytes(),
        _by_bytes(steps // unit),
        _by_bytes(samples.value),
        samples.quality.tobytes(),
    ]
    return zlib.compress(b"".join(parts), 1)


def _decoded(piece: Piece) -> Columns:
    """Raises ValueError where the piece is damaged."""
    try:
        data = zlib.decompress(piece.body)
    except zlib.error as error:
        raise ValueError(f"packed samples are damaged: {error}") from None
    runs, unit = np.frombuffer(data, np.int64, 2).tolist()
    tags = np.frombuffer(data, np.int32, runs, 16)
    counts = np.frombuffer(data, np.int32, runs, 16 + 4 * runs)
    at, n = 16 + 8 * runs, piece.count
    if int(counts.sum()) != n or len(data) != at + 17 * n:
        raise ValueError("packed samples are damaged: their number is not the one that is said")
    return Columns(
        np.repeat(tags, counts),
        np.cumsum(_from_bytes(data, np.int64, n, at) * unit),
        _from_bytes(data, np.float64, n, at + 8 * n),
        np.frombuffer(data, np.uint8, n, at + 16 * n),
    )


def _by_bytes(column: np.ndarray[Any, Any]) -> bytes:
    return np.ascontiguousarray(column.view(np.uint8).reshape(len(column), column.itemsize).T).tobytes()


def _from_bytes(data: bytes, dtype: type[np.generic], count: int, offset: int) -> Any:
    size = np.dtype(dtype).itemsize
    planes = np.frombuffer(data, np.uint8, count * size, offset).reshape(size, count)
    return np.ascontiguousarray(planes.T).view(dtype).reshape(count)
