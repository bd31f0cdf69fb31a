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

from kpi.columns import Columns, in_order
from kpi.fold import Before

_MAGIC: Final = b"EDGEKPI3"


@dataclass(frozen=True, slots=True)
class Numbering:
    """What tags and machines are called now. machines: ids by index. tags: how many there are.

    tag_map: tag index in the bytes → index now, None where the tag table is the same; tags that it does not name are
    gone.
    """

    machines: Sequence[str]
    tags: int
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
    return (
        {name: int(value) for name, value in header.items()},
        _of_machines(held, machines, numbering),
        [_of_tags(part, numbering) for part in columns],
    )


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


def _of_tags(samples: Columns, numbering: Numbering) -> Columns:
    if numbering.tag_map is None:
        return samples
    samples = samples.take(
        np.isin(samples.tag, [old for old, new in numbering.tag_map.items() if new < numbering.tags])
    )
    tag = np.array([numbering.tag_map[t] for t in samples.tag.tolist()], np.int32)
    return in_order(Columns(tag, samples.time, samples.value, samples.quality))[0]
