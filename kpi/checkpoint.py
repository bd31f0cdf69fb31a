"""The engine's checkpoint as bytes: a header in JSON and the raw columns behind it.

Two ways were weighed: pickle (short, but runs whatever the file holds and breaks with class names) and this. This won.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

import numpy as np

from kpi.columns import Columns, Int32, Int64

_MAGIC: Final = b"EDGEKPI2"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """What an engine starts from.

    start: ns, where the samples to be added again begin; 0 = nothing was folded yet. began: ns, where the first row
    begins. closed: ns, end of the last closed
    minute. carry: the last sample of each tag before the start. machines: ids; state: int32 and stop_since: int64 ns,
    parallel to them, as `kpi.fold.Before`.
    """

    start: int
    began: int
    closed: int
    carry: Columns
    machines: list[str]
    state: Int32
    stop_since: Int64

    def pack(self) -> bytes:
        """As bytes."""
        header = json.dumps(
            {
                "start": self.start,
                "began": self.began,
                "closed": self.closed,
                "machines": self.machines,
                "samples": len(self.carry),
            }
        ).encode()
        arrays = (self.state, self.stop_since, self.carry.tag, self.carry.time, self.carry.value, self.carry.quality)
        body = b"".join(array.tobytes() for array in arrays)
        return _MAGIC + len(header).to_bytes(4, "little") + header + body

    @classmethod
    def unpack(cls, data: bytes) -> Checkpoint:
        """From bytes. Raises ValueError where they are not a checkpoint."""
        if not data.startswith(_MAGIC):
            raise ValueError("not an engine checkpoint, or of another version")
        try:
            size = int.from_bytes(data[8:12], "little")
            header = json.loads(data[12 : 12 + size])
            offset = 12 + size
            columns = []
            count = int(header["samples"])
            for dtype, length in (
                (np.int32, len(header["machines"])),
                (np.int64, len(header["machines"])),
                (np.int32, count),
                (np.int64, count),
                (np.float64, count),
                (np.uint8, count),
            ):
                columns.append(np.frombuffer(data, dtype, length, offset).copy())
                offset += columns[-1].nbytes
            state, stop_since, tag, time, value, quality = columns
            return cls(
                int(header["start"]),
                int(header["began"]),
                int(header["closed"]),
                Columns(
                    tag.astype(np.int32), time.astype(np.int64), value.astype(np.float64), quality.astype(np.uint8)
                ),
                [str(m) for m in header["machines"]],
                state.astype(np.int32),
                stop_since.astype(np.int64),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the engine checkpoint is damaged: {error}") from None
