"""Texts of the configuration that name a node, and what they mean in a session.

Rule: a text is parsed once, when the connector is made; namespace URIs become indexes anew in each session, because a
server may number them differently each time it starts.
"""

from __future__ import annotations

import re
import uuid
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from asyncua import ua

_NODE: Final = re.compile(r"(?:ns=(?P<index>[0-9]+);|nsu=(?P<uri>[^;]+);)?(?P<kind>[isgb])=(?P<id>.+)\Z", re.DOTALL)
_STEP: Final = re.compile(
    r"/(?:(?P<index>[0-9]+):|nsu=(?P<uri>[^;]+);)?(?![0-9]+:(?:/|\Z))(?P<name>(?:&.|[^/&])+)", re.DOTALL
)
_ESCAPED: Final = re.compile(r"&(.)", re.DOTALL)


class UnknownNamespaceError(LookupError):
    """The session has no such namespace; `namespace` is the URI or index that was asked for."""

    def __init__(self, namespace: int | str) -> None:
        super().__init__(str(namespace))
        self.namespace = namespace


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """A NodeId. namespace: index or URI. identifier: of the Python type that asyncua takes for its kind."""

    namespace: int | str
    identifier: int | str | bytes | uuid.UUID

    def node_id(self, namespaces: Sequence[str]) -> Any:
        """The `ua.NodeId` in a session with these namespaces. Raises UnknownNamespaceError."""
        return ua.NodeId(self.identifier, index_of(self.namespace, namespaces))


@dataclass(frozen=True, slots=True)
class Step:
    """One browse name on the way from the Objects folder."""

    namespace: int | str
    name: str

    def qualified_name(self, namespaces: Sequence[str]) -> Any:
        """The `ua.QualifiedName` in a session with these namespaces. Raises UnknownNamespaceError."""
        return ua.QualifiedName(self.name, index_of(self.namespace, namespaces))


@dataclass(frozen=True, slots=True)
class BrowsePath:
    """Browse names from the Objects folder down to a node, by any hierarchical reference."""

    steps: tuple[Step, ...]


def parse_node(text: str) -> NodeAddress | BrowsePath:
    """What a node text of the configuration means. Raises ValueError with what was expected.

    `ns=2;s=Press.State`, `nsu=urn:maker;i=5006`, `i=2258`, or a path such as `/2:Machines/nsu=urn:maker;CNC-1/2:State`,
    in whose names `&` stands before a `/` or `&` that is meant itself (Part 4, A.2).
    """
    if text.startswith("/"):
        return BrowsePath(_steps(text))
    found = _NODE.match(text)
    if found is None:
        raise ValueError(
            f"node {text!r}: expected a NodeId such as `ns=2;s=Press.State` or a path such as `/2:Press/2:State`"
        )
    namespace: int | str = found["uri"] or int(found["index"] or 0)
    try:
        return NodeAddress(namespace, _identifier(found["kind"], found["id"]))
    except (ValueError, Base64Error) as error:
        raise ValueError(f"node {text!r}: {error}") from None


def index_of(namespace: int | str, namespaces: Sequence[str]) -> int:
    """Index of a namespace in a session. Raises UnknownNamespaceError."""
    if isinstance(namespace, int):
        if namespace and namespace >= len(namespaces):
            raise UnknownNamespaceError(namespace)
        return namespace
    try:
        return namespaces.index(namespace)
    except ValueError:
        raise UnknownNamespaceError(namespace) from None


def _identifier(kind: str, text: str) -> int | str | bytes | uuid.UUID:
    if kind == "i":
        number = int(text)
        if not 0 <= number < 2**32:
            raise ValueError("expected a whole number from 0 to 4294967295 after `i=`")
        return number
    if kind == "g":
        return uuid.UUID(text)
    if kind == "b":
        return b64decode(text, validate=True)
    return text


def _steps(path: str) -> tuple[Step, ...]:
    steps: list[Step] = []
    at = 0
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            raise ValueError(f"node {path!r}: expected a step `/2:Name` or `/nsu=http://…;Name` at character {at + 1}")
        namespace: int | str = found["uri"] or int(found["index"] or 0)
        steps.append(Step(namespace, _ESCAPED.sub(r"\1", found["name"])))
        at = found.end()
    return tuple(steps)
