"""Node texts of the configuration."""

from __future__ import annotations

import uuid

import pytest
from asyncua import ua

from connectors.opcua.node_text import BrowsePath, NodeAddress, Step, UnknownNamespaceError, parse_node

NAMESPACES = ("http://opcfoundation.org/UA/", "urn:server", "http://maker.example/UA/")
SOME = uuid.UUID("72962b91-fa75-4ae6-8d28-b404dc7daf63")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("i=2258", NodeAddress(0, 2258)),
        ("ns=2;i=5", NodeAddress(2, 5)),
        ("ns=2;s=Press.State", NodeAddress(2, "Press.State")),
        ("ns=2;s=a;b=c", NodeAddress(2, "a;b=c")),
        ("nsu=http://maker.example/UA/;s=Press/1", NodeAddress("http://maker.example/UA/", "Press/1")),
        (f"ns=1;g={SOME}", NodeAddress(1, SOME)),
        ("ns=1;b=AQID", NodeAddress(1, b"\x01\x02\x03")),
        ("/2:Press/State", BrowsePath((Step(2, "Press"), Step(0, "State")))),
        (
            "/nsu=http://maker.example/UA/;CNC-1/2:a&/b && c",
            BrowsePath((Step("http://maker.example/UA/", "CNC-1"), Step(2, "a/b & c"))),
        ),
    ],
)
def test_a_node_text_means_one_node(text: str, address: NodeAddress | BrowsePath) -> None:
    assert parse_node(text) == address


@pytest.mark.parametrize(
    "text", ["", "Press.State", "ns=2", "ns=x;i=1", "i=-1", "i=4294967296", "g=1", "b=?", "/", "/2:", "//a"]
)
def test_a_text_of_no_form_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="node "):
        parse_node(text)


def test_namespaces_are_looked_up_in_the_session() -> None:
    address = parse_node("nsu=http://maker.example/UA/;s=x")
    assert isinstance(address, NodeAddress)
    assert address.node_id(NAMESPACES) == ua.NodeId("x", 2)
    assert address.node_id((*NAMESPACES[:2], "urn:new", NAMESPACES[2])) == ua.NodeId("x", 3)
    with pytest.raises(UnknownNamespaceError):
        address.node_id(NAMESPACES[:2])
    other = parse_node("ns=3;i=1")
    assert isinstance(other, NodeAddress)
    with pytest.raises(UnknownNamespaceError):
        other.node_id(NAMESPACES)
