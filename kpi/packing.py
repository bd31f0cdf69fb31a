"""Engine state as bytes: a header in JSON and the raw columns behind it, compressed.

Two ways were weighed: pickle (short, but runs whatever the file holds and breaks with class names) and this. This won.
Tags and machines are renumbered on reading where the plant has changed since.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from kpi.columns import Bool, Columns, Int32, in_order
from kpi.fold import Before

_MAGIC: Final = b"EDGEKPI3"


@dataclass(frozen=True, slots=True)
class Numbering:
    """What tags and machines are called now. machines: ids by index. used: shape (tags,), which tags the engine needs;
    samples of others are left out.

    tag_map: tag index in the bytes → index now, None where the tag table is the same; tags that it does not name, or
    names with a negative index, are gone.
    """

    machines: Sequence[str]
    used: Bool
    tag_map: Mapping[int, int] | None = None


def pack(facts: Mapping[str, int], before: Before, columns: Sequence[Columns], machines: Sequence[str]) -> bytes:
    """Whole numbers by name, what machines did before, and any number of sample columns."""
    header = json.dumps({**facts, "machines": list(machines), "lengths": [len(c) for c in columns]}).encode()
    arrays: list[np.ndarray[Any, Any]] = [before.state, before.stop_since]
    for part in columns:
        arrays += [part.tag, np.diff(part.time, prepend=0), part.value, part.quality]
    body = zlib.compress(b"".join(array.tobytes() for array in arrays), 1)
    return _MAGIC + len(header).to_bytes(4, "little") + header + body


def unpack(data: bytes, numbering: Numbering) -> tuple[dict[str, int], Before, list[Columns]]:
    """What was packed, in today's numbering; columns sorted by (tag, time).

    Raises ValueError where the bytes are not such a pack, or damaged.
    """
    facts, machines, held, columns = _unpacked(data)
    if numbering.tag_map is not None:
        columns = [_moved(part, _lookup(numbering.tag_map)) for part in columns]
    return facts, _of_machines(held, machines, numbering), [_used(part, numbering.used) for part in columns]


def retagged(data: bytes, tag_map: Mapping[int, int]) -> bytes:
    """The same pack with tags renumbered: old index → new; what it does not name is left out.

    Raises ValueError where the bytes are not such a pack, or damaged.
    """
    facts, machines, held, columns = _unpacked(data)
    now = _lookup(tag_map)
    return pack(facts, held, [_moved(part, now) for part in columns], machines)


def _unpacked(data: bytes) -> tuple[dict[str, int], list[str], Before, list[Columns]]:
    """Facts, ids of machines, what they did before, columns; all in the numbering of the pack."""
    if not data.startswith(_MAGIC):
        raise ValueError("not an engine checkpoint, or one of another version")
    try:
        size = int.from_bytes(data[8:12], "little")
        header: dict[str, Any] = json.loads(data[12 : 12 + size])
        machines = [str(name) for name in header.pop("machines")]
        lengths = [int(n) for n in header.pop("lengths")]
        reader = _Reader(zlib.decompress(data[12 + size :]))
        held = Before(reader.take(np.int32, len(machines)), reader.take(np.int64, len(machines)))
        columns = [reader.columns(n) for n in lengths]
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise ValueError(f"the engine checkpoint is damaged: {error}") from None
    return {name: int(value) for name, value in header.items()}, machines, held, columns


class _Reader:
    """Takes arrays off a buffer, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    def take(self, dtype: type[np.generic], count: int) -> Any:
        array = np.frombuffer(self._data, dtype, count, self._offset).copy()
        self._offset += array.nbytes
        return array

    def columns(self, count: int) -> Columns:
        tag, step = self.take(np.int32, count), self.take(np.int64, count)
        return Columns(tag, np.cumsum(step), self.take(np.float64, count), self.take(np.uint8, count))


def _of_machines(held: Before, names: list[str], numbering: Numbering) -> Before:
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


def _used(samples: Columns, used: Bool) -> Columns:
    wanted = samples.tag < len(used)
    wanted[wanted] = used[samples.tag[wanted]]
    return samples if wanted.all() else samples.take(wanted)
