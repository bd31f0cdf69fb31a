"""Texts of values: what a String, a LocalizedText, a NodeId and the like are called in a text tag.

Rule: a text says what the value means, not how this session numbers it. A NodeId names its namespace by URI
(`nsu=urn:maker;i=5006`), because indexes may change at each start of a server; a LocalizedText is its text without
the locale, a QualifiedName its name. A null text is the empty one: OPC UA does not tell them apart (Part 6, 5.2.2.4).
"""

from __future__ import annotations

import uuid
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.faults import Fault
from connectors.opcua.binary import Cursor

MOST_TEXT_BYTES: Final = 4096
"""A longer text is no name of a state or product; it would only fill the dictionary."""

_STRING, _GUID, _XML, _NODE_ID, _EXPANDED_NODE_ID, _QUALIFIED_NAME, _LOCALIZED_TEXT = 12, 14, 16, 17, 18, 20, 21


class TextError(ValueError):
    """A text that cannot be taken; `fault` says why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class NodeIdText:
    """A NodeId as it was sent. identifier: with its kind, as in `i=85`. uri: where the value itself names it."""

    namespace: int
    identifier: str
    uri: str | None = None

    def text(self, namespaces: Sequence[str]) -> str:
        """The text form, with the namespace's URI where it is known."""
        uri = self.uri
        if uri is None and 0 < self.namespace < len(namespaces):
            uri = namespaces[self.namespace]
        if uri:
            return f"nsu={uri};{self.identifier}"
        return f"ns={self.namespace};{self.identifier}" if self.namespace else self.identifier


def text_of_value(at: Cursor, variant: int, node_id_text: Callable[[NodeIdText], str]) -> str | None:
    """The text of a scalar whose bytes are known to be whole; None where the type has none (bytes, arrays, structures).

    at: at the value, behind the type byte. Raises TextError for invalid UTF-8 and for what is too long.
    """
    if variant in (_STRING, _XML):
        return _text(at.raw())
    if variant == _LOCALIZED_TEXT:
        mask = at.u8()
        if mask & 0x01:
            at.skip_raw()
        return _text(at.raw()) if mask & 0x02 else ""
    if variant == _QUALIFIED_NAME:
        at.skip(2)
        return _text(at.raw())
    if variant in (_NODE_ID, _EXPANDED_NODE_ID):
        return node_id_text(_node_id(at))
    if variant == _GUID:
        return _guid(at)
    return None


def text_of_number(value: float) -> str:
    """A number as a person writes it: whole numbers without a point."""
    return str(int(value)) if value.is_integer() else repr(value)


def _text(raw: bytes | None) -> str:
    if raw is None:
        return ""
    if len(raw) > MOST_TEXT_BYTES:
        raise TextError(Fault.PAYLOAD_TOO_LARGE)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise TextError(Fault.INVALID_UTF8) from None


def _guid(at: Cursor) -> str:
    start = at.pos
    at.skip(16)
    return str(uuid.UUID(bytes_le=at.data[start : start + 16]))


def _node_id(at: Cursor) -> NodeIdText:
    encoding = at.u8()
    kind = encoding & 0x3F
    if kind == 0:
        namespace, identifier = 0, f"i={at.u8()}"
    elif kind == 1:
        namespace, identifier = at.u8(), f"i={at.u16()}"
    elif kind == 2:
        namespace, identifier = at.u16(), f"i={at.u32()}"
    elif kind == 3:
        namespace, identifier = at.u16(), f"s={_text(at.raw())}"
    elif kind == 4:
        namespace, identifier = at.u16(), f"g={_guid(at)}"
    else:
        namespace, identifier = at.u16(), f"b={b64encode(at.raw() or b'').decode()}"
    uri = _text(at.raw()) if encoding & 0x80 else None
    return NodeIdText(namespace, identifier, uri)
