"""Walking over OPC UA binary without building objects: bounded, so hostile bytes cost at most their own length.

What lives here: a cursor that reads the few fields the agent needs and steps over all others. What it must not know:
subscriptions, tags, quality. Everything is little-endian; lengths are Int32, −1 = null (Part 6, 5.2).

Two ways were weighed for the parts of a message that nobody reads (arrays, structures, diagnostics): hand them to
asyncua's decoder, or step over them here. Stepping over won: asyncua builds every element, lets a negative length
move its buffer backwards and an array of 2³¹ nulls grow a list, and reads the picoseconds of a DataValue in the wrong
place. Tests hold this walk to asyncua's decoder wherever asyncua is right.
"""

from __future__ import annotations

import struct
from typing import Final

MOST_NESTED: Final = 100
"""Levels of Variant, DataValue or DiagnosticInfo within each other that a decoder must take (Part 6, 5.1.8)."""

_U16 = struct.Struct("<H").unpack_from
_I32 = struct.Struct("<i").unpack_from
_U32 = struct.Struct("<I").unpack_from
_I64 = struct.Struct("<q").unpack_from

VARIABLE: Final = -1
UNKNOWN: Final = -2

VARIANT_WIDTH: Final = (
    0,  # 0 Null
    1,  # 1 Boolean
    1,  # 2 SByte
    1,  # 3 Byte
    2,  # 4 Int16
    2,  # 5 UInt16
    4,  # 6 Int32
    4,  # 7 UInt32
    8,  # 8 Int64
    8,  # 9 UInt64
    4,  # 10 Float
    8,  # 11 Double
    VARIABLE,  # 12 String
    8,  # 13 DateTime
    16,  # 14 Guid
    VARIABLE,  # 15 ByteString
    VARIABLE,  # 16 XmlElement
    VARIABLE,  # 17 NodeId
    VARIABLE,  # 18 ExpandedNodeId
    4,  # 19 StatusCode
    VARIABLE,  # 20 QualifiedName
    VARIABLE,  # 21 LocalizedText
    VARIABLE,  # 22 ExtensionObject
    VARIABLE,  # 23 DataValue
    VARIABLE,  # 24 Variant
    VARIABLE,  # 25 DiagnosticInfo
    *[VARIABLE] * 6,  # 26 to 31: reserved, to be read as ByteString
    *[UNKNOWN] * 32,  # the type has six bits; no such types
)
"""Bytes of a scalar by the type id of a Variant (Part 6, table 1)."""


class DecodeError(ValueError):
    """Bytes that do not follow the protocol. `at` is the offset at which that was noticed."""

    def __init__(self, what: str, at: int) -> None:
        super().__init__(f"{what} at byte {at}")
        self.at = at


class Cursor:
    """A position in `data` that only moves forward and never past `end`. Raises DecodeError, nothing else."""

    __slots__ = ("data", "end", "pos")

    def __init__(self, data: bytes, pos: int = 0, end: int | None = None) -> None:
        self.data = data
        self.pos = pos
        self.end = len(data) if end is None else end

    def skip(self, size: int) -> None:
        """Step over `size` bytes."""
        if size < 0 or size > self.end - self.pos:
            raise DecodeError(f"{size} bytes expected, {self.end - self.pos} left", self.pos)
        self.pos += size

    def u8(self) -> int:
        """Byte."""
        at = self.pos
        self.skip(1)
        return self.data[at]

    def u16(self) -> int:
        """UInt16."""
        at = self.pos
        self.skip(2)
        return int(_U16(self.data, at)[0])

    def i32(self) -> int:
        """Int32."""
        at = self.pos
        self.skip(4)
        return int(_I32(self.data, at)[0])

    def u32(self) -> int:
        """UInt32."""
        at = self.pos
        self.skip(4)
        return int(_U32(self.data, at)[0])

    def i64(self) -> int:
        """Int64."""
        at = self.pos
        self.skip(8)
        return int(_I64(self.data, at)[0])

    def count(self, least_size: int) -> int:
        """Length of an array, null as 0. An array that cannot fit into what is left, at `least_size` bytes an element,
        is refused before anything is allocated for it."""
        at = self.pos
        length = self.i32()
        if length < -1 or length * least_size > self.end - self.pos:
            raise DecodeError(f"an array of {length} elements does not fit", at)
        return max(length, 0)

    def raw(self) -> bytes | None:
        """String, ByteString or XmlElement as its bytes; None where null."""
        at = self.pos
        length = self.i32()
        if length == -1:
            return None
        if length < -1:
            raise DecodeError(f"a text of {length} bytes", at)
        at = self.pos
        self.skip(length)
        return self.data[at : at + length]

    def skip_raw(self) -> None:
        """Step over a String, ByteString or XmlElement."""
        at = self.pos
        length = self.i32()
        if length < -1:
            raise DecodeError(f"a text of {length} bytes", at)
        self.skip(max(length, 0))

    def skip_node_id(self) -> None:
        """Step over a NodeId or ExpandedNodeId (Part 6, 5.2.2.9 and 5.2.2.10)."""
        at = self.pos
        encoding = self.u8()
        kind = encoding & 0x3F
        if kind in _NODE_ID_WIDTH:
            self.skip(_NODE_ID_WIDTH[kind])
        elif kind in (3, 5):
            self.skip(2)
            self.skip_raw()
        else:
            raise DecodeError(f"a NodeId of kind {kind}", at)
        if encoding & 0x80:
            self.skip_raw()
        if encoding & 0x40:
            self.skip(4)

    def skip_localized_text(self) -> None:
        """Step over a LocalizedText."""
        mask = self.u8()
        if mask & 0x01:
            self.skip_raw()
        if mask & 0x02:
            self.skip_raw()

    def skip_extension_object(self) -> None:
        """Step over an ExtensionObject whose length is given."""
        self.skip_node_id()
        at = self.pos
        encoding = self.u8()
        if encoding in (1, 2):
            self.skip_raw()
        elif encoding:
            raise DecodeError(f"an ExtensionObject of encoding {encoding}", at)

    def skip_diagnostic_info(self, depth: int = 0) -> None:
        """Step over a DiagnosticInfo (Part 6, 5.2.2.12)."""
        self._check_depth(depth)
        mask = self.u8()
        self.skip(4 * (mask & 0x0F).bit_count())
        if mask & 0x10:
            self.skip_raw()
        if mask & 0x20:
            self.skip(4)
        if mask & 0x40:
            self.skip_diagnostic_info(depth + 1)

    def skip_data_value(self, depth: int = 0) -> None:
        """Step over a DataValue (Part 6, 5.2.2.17)."""
        self._check_depth(depth)
        mask = self.u8()
        if mask & 0x01:
            self.skip_variant(depth + 1)
        self.skip(TAIL_WIDTH[mask])

    def skip_variant(self, depth: int = 0) -> None:
        """Step over a Variant, scalar or array of any dimensions (Part 6, 5.2.2.16)."""
        self._check_depth(depth)
        encoding = self.u8()
        if encoding & 0x80:
            self._skip_values(encoding & 0x3F, depth)
            if encoding & 0x40:
                self.skip(4 * self.count(4))
        else:
            self.skip_value(encoding & 0x3F, depth)

    def skip_value(self, kind: int, depth: int = 0) -> None:
        """Step over one value of a built-in type without its type byte."""
        width = VARIANT_WIDTH[kind]
        if width >= 0:
            self.skip(width)
        elif width == UNKNOWN:
            raise DecodeError(f"no built-in type has the id {kind}", self.pos)
        elif kind in (17, 18):
            self.skip_node_id()
        elif kind == 20:
            self.skip(2)
            self.skip_raw()
        elif kind == 21:
            self.skip_localized_text()
        elif kind == 22:
            self.skip_extension_object()
        elif kind == 23:
            self.skip_data_value(depth + 1)
        elif kind == 24:
            self.skip_variant(depth + 1)
        elif kind == 25:
            self.skip_diagnostic_info(depth + 1)
        else:
            self.skip_raw()

    def _skip_values(self, kind: int, depth: int) -> None:
        width = VARIANT_WIDTH[kind]
        if width >= 0:
            at = self.pos
            length = self.i32()
            if length < -1:
                raise DecodeError(f"an array of {length} elements", at)
            self.skip(max(length, 0) * width)
            return
        for _ in range(self.count(1)):
            self.skip_value(kind, depth)

    def _check_depth(self, depth: int) -> None:
        if depth > MOST_NESTED:
            raise DecodeError(f"more than {MOST_NESTED} values within each other", self.pos)


_NODE_ID_WIDTH: Final = {0: 1, 1: 3, 2: 6, 4: 18}

TAIL_WIDTH: Final = tuple(
    4 * bool(mask & 0x02)
    + 8 * bool(mask & 0x04)
    + 2 * bool(mask & 0x10)
    + 8 * bool(mask & 0x08)
    + 2 * bool(mask & 0x20)
    for mask in range(256)
)
"""Bytes behind the value of a DataValue by its mask; the two reserved bits mean nothing."""
