"""Engine state as bytes: a header in JSON that names the columns, and behind it the columns, compressed.

Two ways were weighed: pickle (short, but runs whatever the file holds and breaks with class names) and this. This won.
Tags and machines are renumbered on reading where the plant has changed since. What machines did before is columns by
name, so a later version reads what an earlier one wrote; a column that is not there has its value of the beginning.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from kpi.columns import Bool, Columns, Int32, in_order
from kpi.fold import Before
from kpi.packed_columns import PackedColumns, Piece, of_used

_MAGIC: Final = b"EDGEKPI4"


@dataclass(frozen=True, slots=True)
class Numbering:
    """What tags and machines are called now. machines: ids by index. used: shape (tags,), which tags the engine needs;
    samples of others are left out.

    tag_map: tag index in the bytes → index now, None where the tag table is the same; tags that it does not name, or
    names with a negative index, are gone.
    """

    machines: list[str]
    used: Bool
    tag_map: Mapping[int, int] | None = None


Samples = Columns | PackedColumns
"""Samples sorted by (tag, time), as they are or packed; both answer `whole`, `of_tags`, `first_of` and `put_in`."""


def pack(facts: Mapping[str, int], before: Before, samples: Sequence[Samples], machines: Sequence[str]) -> bytes:
    """Whole numbers by name, what machines did before, and any number of samples columns."""
    columns = {field.name: getattr(before, field.name) for field in fields(before)}
    packed = [part if isinstance(part, PackedColumns) else PackedColumns.of(part) for part in samples]
    header = {
        "facts": dict(facts),
        "machines": list(machines),
        "before": {name: column.dtype.str for name, column in columns.items()},
        "pieces": [[[p.first, p.last, p.count, len(p.body)] for p in part.pieces] for part in packed],
    }
    head = zlib.compress(json.dumps(header).encode() + b"".join(c.tobytes() for c in columns.values()), 1)
    bodies = [piece.body for part in packed for piece in part.pieces]
    return b"".join([_MAGIC, len(head).to_bytes(4, "little"), head, *bodies])


def unpack(data: bytes, numbering: Numbering) -> tuple[dict[str, int], Before, list[Samples]]:
    """What was packed, in today's numbering; samples unpack when they are asked.

    Raises ValueError where the bytes are not such a pack, or damaged; so does unpacking the samples.
    """
    facts, machines, held, packed = _unpacked(data)
    samples: list[Samples] = [PackedColumns(part.pieces, numbering.used) for part in packed]
    if numbering.tag_map is not None:
        now = _lookup(numbering.tag_map)
        samples = [of_used(_moved(part.whole(), now), numbering.used) for part in packed]
    return facts, _of_machines(held, machines, numbering), samples


def retagged(data: bytes, tag_map: Mapping[int, int]) -> bytes:
    """The same pack with tags renumbered: old index → new; what it does not name is left out.

    Raises ValueError where the bytes are not such a pack, or damaged.
    """
    facts, machines, held, packed = _unpacked(data)
    now = _lookup(tag_map)
    return pack(facts, held, [_moved(part.whole(), now) for part in packed], machines)


def done_before(data: bytes) -> dict[str, Before]:
    """What each machine (id) did just before a pack, columns of one.

    Raises ValueError where the bytes are not such a pack, or damaged.
    """
    _, machines, held, _ = _unpacked(data)
    return {name: held.of(np.array([place], np.intp)) for place, name in enumerate(machines)}


def _unpacked(data: bytes) -> tuple[dict[str, int], list[str], Before, list[PackedColumns]]:
    """Facts, ids of machines, what they did before, samples; all in the numbering of the pack."""
    if not data.startswith(_MAGIC):
        raise ValueError("not an engine checkpoint, or one of another version")
    try:
        at = 12 + int.from_bytes(data[8:12], "little")
        head = zlib.decompress(data[12:at])
        header, end = json.JSONDecoder().raw_decode(head.decode("latin-1"))
        machines = [str(name) for name in header["machines"]]
        held = _before(header["before"], head[end:], len(machines))
        samples = []
        for part in header["pieces"]:
            pieces = []
            for first, last, count, size in part:
                pieces.append(Piece(int(first), int(last), int(count), data[at : at + size]))
                at += size
            samples.append(PackedColumns(pieces))
        facts = {str(name): int(value) for name, value in header["facts"].items()}
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise ValueError(f"the engine checkpoint is damaged: {error}") from None
    if at != len(data):
        raise ValueError("the engine checkpoint is damaged: its length is not the one that it says")
    return facts, machines, held, samples


def _before(dtypes: Mapping[str, str], data: bytes, machines: int) -> Before:
    """From columns by name, whatever version wrote them."""
    columns = {}
    at = 0
    for name, dtype in dtypes.items():
        columns[name] = np.frombuffer(data, np.dtype(dtype), machines, at)
        at += columns[name].nbytes
    return Before.of_columns(columns, machines)


def _of_machines(held: Before, names: list[str], numbering: Numbering) -> Before:
    if names == numbering.machines:
        return held
    index = {name: i for i, name in enumerate(numbering.machines)}
    old = np.array([i for i, name in enumerate(names) if name in index], np.int32)
    new = np.array([index[name] for name in names if name in index], np.int32)
    return Before.nothing(len(numbering.machines)).with_part(new, held.of(old))


def _lookup(tag_map: Mapping[int, int]) -> Int32:
    """Index now by index then, -1 where the tag is gone."""
    now = np.full(1 + max(tag_map, default=-1), -1, np.int32)
    now[list(tag_map)] = np.maximum(-1, list(tag_map.values()))
    return now


def _moved(samples: Columns, now: Int32) -> Columns:
    """Samples by the tags' indexes now, without those of tags that are gone."""
    known = samples.tag < len(now)
    tag = np.full(len(samples), -1, np.int32)
    tag[known] = now[samples.tag[known]]
    moved = Columns(tag, samples.time, samples.value, samples.quality)
    return in_order(moved.take(tag >= 0))[0]
