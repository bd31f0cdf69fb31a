"""What a node, a topic, a path, an endpoint may look like: everything that can be seen without a network.

Each `…_fault` says what is wrong with a text, or None. The connectors parse; this only keeps a slip of the finger from
being found out at night by a server.

Two ways were weighed for nodes: to let the connector's parser judge and pass on its words, or to judge here. Here won:
its words quote the text, which may hold what was substituted, and cannot say which part of it is wrong. A test holds
the two grammars together: what passes here, the connector can parse.
Imports: standard library, connectors (the grammar of paths).
"""

from __future__ import annotations

import re
from base64 import b64decode
from urllib.parse import SplitResult, urlsplit
from uuid import UUID

from connectors.mqtt.paths import parse_path

NODE_EXAMPLE = "ns=2;s=Press.State"

_NODE = re.compile(
    r"(?:(?P<ns>ns=(?P<index>[^;]*);)|(?P<nsu>nsu=(?P<uri>[^;]*);))?(?P<kind>[A-Za-z]+)=(?P<id>.*)\Z", re.DOTALL
)
_STEP = re.compile(r"/(?:(?P<index>[0-9]+):|nsu=[^;]+;)?(?![0-9]+:(?:/|\Z))(?:&.|[^/&])+", re.DOTALL)
_MOST_TOPIC_BYTES = 65_535


def node_fault(node: str) -> str | None:
    """A NodeId in text form (OPC 10000-6, 5.3.1.10) or a browse path from the Objects folder."""
    if node.startswith("/"):
        return _browse_path_fault(node)
    found = _NODE.match(node)
    if found is None:
        return f"expected a NodeId such as `{NODE_EXAMPLE}` or a browse path that begins with `/`"
    index, uri, kind, identifier = found.group("index", "uri", "kind", "id")
    if found.group("ns") and not (index.isdecimal() and int(index) <= 0xFFFF):
        return "expected a namespace index from 0 to 65535 after `ns=`"
    if found.group("nsu") and not uri:
        return "expected a namespace URI after `nsu=`"
    return _identifier_fault(kind, identifier)


def _identifier_fault(kind: str, identifier: str) -> str | None:
    if kind not in {"i", "s", "g", "b"}:
        return f"expected `i=`, `s=`, `g=` or `b=` before the identifier, as in `{NODE_EXAMPLE}`"
    if not identifier:
        return f"expected an identifier after `{kind}=`"
    if kind == "i" and not (identifier.isdecimal() and int(identifier) <= 0xFFFFFFFF):
        return "expected a whole number from 0 to 4294967295 after `i=`; for a text write `s=`"
    try:
        if kind == "g":
            UUID(identifier)
        if kind == "b":
            b64decode(identifier, validate=True)
    except ValueError:
        return "expected a GUID after `g=`" if kind == "g" else "expected Base64 after `b=`"
    return None


def _browse_path_fault(path: str) -> str | None:
    at = 0
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            return "expected a browse path of steps `/2:Name` or `/nsu=http://…;Name`"
        at = step.end()
    return None if path != "/" else "expected a step after `/`"


def topic_fault(topic: str) -> str | None:
    """A topic of one signal (MQTT 5.0, 4.7)."""
    if "+" in topic or "#" in topic:
        return "a signal has one topic: `+` and `#` belong into `subscribe`"
    return _topic_text_fault(topic)


def filter_fault(topic_filter: str) -> str | None:
    """A topic filter (MQTT 5.0, 4.7.1)."""
    if topic_filter.startswith("$share/"):
        return "shared subscriptions split the messages between agents; name the filter alone"
    levels = topic_filter.split("/")
    if any("#" in level and (level != "#" or place < len(levels) - 1) for place, level in enumerate(levels)):
        return "`#` stands alone in the last level, as in `plant/#`"
    if any("+" in level and level != "+" for level in levels):
        return "`+` stands alone in its level, as in `plant/+/status`"
    return _topic_text_fault(topic_filter)


def _topic_text_fault(text: str) -> str | None:
    if not text:
        return "expected a topic such as `plant/press/status`"
    if "\0" in text or len(text.encode("utf-8", "surrogatepass")) > _MOST_TOPIC_BYTES:
        return f"a topic has at most {_MOST_TOPIC_BYTES} bytes and no zero character"
    return None


def covers(topic_filter: str, topic: str) -> bool:
    """Whether messages of the topic arrive by the filter (MQTT 5.0, 4.7.2: a wildcard first does not match `$`)."""
    if topic.startswith("$") and topic_filter[:1] in {"+", "#"}:
        return False
    wanted, levels = topic_filter.split("/"), topic.split("/")
    for place, level in enumerate(wanted):
        if level == "#":
            return True
        if place >= len(levels) or level not in {"+", levels[place]}:
            return False
    return len(wanted) == len(levels)


def path_fault(path: str) -> str | None:
    """A path into a JSON document, as the MQTT connector reads it: `status.counts[0].good`."""
    try:
        steps = parse_path(path)
    except ValueError:
        steps = ()
    return None if steps else "expected a path into the JSON such as `counts.good` or `status.counts[0].good`"


def endpoint_fault(endpoint: str) -> str | None:
    """An OPC UA endpoint."""
    return _url_fault(endpoint, ("opc.tcp",), "opc.tcp://192.168.0.10:4840")


def url_fault(url: str) -> str | None:
    """The address of an InfluxDB."""
    return _url_fault(url, ("http", "https"), "http://localhost:8086")


def _url_fault(url: str, schemes: tuple[str, ...], example: str) -> str | None:
    try:
        parts: SplitResult = urlsplit(url)
        host, _port = parts.hostname, parts.port  # reading the port checks it
    except ValueError:
        return f"expected an address such as `{example}`"
    if parts.scheme not in schemes or not host or any(character.isspace() for character in url):
        return f"expected an address such as `{example}`"
    if parts.username is not None or parts.password is not None:
        return "user name and password do not belong into the address; write them as options of their own"
    return None
