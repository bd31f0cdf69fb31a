"""What is collected: the tag table, and the items of each connection.

Rule: a tag is made exactly once for every signal of every machine, an item with it, and the link tag of a connection
with its first item. A signal with a fault still gets its tag, so that all other faults come to light.
Imports: standard library, config, settings of the connectors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from config.addresses import covers, node_fault, path_fault, topic_fault
from config.compiled import TagInfo
from config.errors import Path, suggestion
from config.machines import PlacedMachine, Said
from config.models import Login, MqttConnection, OpcUaConnection, PlantConfig
from config.placeholders import PlaceholderError
from config.signal_options import Scaled, Signal, TimeSource
from connectors.contract import Link
from connectors.mqtt.settings import MqttItem, MqttSettings
from connectors.opcua.settings import OpcUaItem, OpcUaSettings

Report = Callable[[Path, str, str], None]
"""Takes a fault: path, what is wrong, and its kind, by which it is told once for all machines of a profile."""


@dataclass(slots=True)
class Collection:
    """Tags and items while the plant is compiled. links: connection → its link tag; only those with signals."""

    config: PlantConfig
    report: Report
    is_aside: Callable[[str, str], bool]
    tags: list[TagInfo] = field(default_factory=list)
    links: dict[str, int] = field(default_factory=dict)
    _opcua: dict[str, list[OpcUaItem]] = field(default_factory=dict)
    _mqtt: dict[str, list[MqttItem]] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)

    def add(self, machine: PlacedMachine, role: str, said: Said, *, unit: str, factor: float, text: bool) -> int:
        """A tag for a signal that a machine or its profile names; returns its index.

        unit: of the scaled value. factor: from the unit that the signal is said in to `unit`.
        """
        signal: Signal = said.value
        name = self._connection_name(machine, said)
        connection = self.config.connections.get(name or "")
        tag = len(self.tags)
        source = self._item(machine, said, tag, name or "", connection, text=text)
        scale, offset = (signal.scale, signal.offset) if isinstance(signal, Scaled) else (1.0, 0.0)
        info = TagInfo(
            machine=machine.options.id,
            signal=role,
            line=machine.line.name,
            area=machine.line.area or "",
            connection=name or "",
            source=source,
            unit=unit,
            scale=scale * factor,
            offset=offset * factor,
            text=text,
            raw=signal.raw,
        )
        self._take(info, said.path)
        return tag

    def link(self, tag: int) -> tuple[int | None, int]:
        """The link tag of a tag's connection and how long it holds, ns; None where there is no such connection."""
        name = self.tags[tag].connection
        connection = self.config.connections.get(name)
        if connection is None:
            return None, 0
        if name not in self.links:
            self.links[name] = len(self.tags)
            source = connection.endpoint if isinstance(connection, OpcUaConnection) else connection.host
            self._take(TagInfo(name, "link", "", "", name, source, raw=False), ("connections", name))
        return self.links[name], connection.link_holds

    def over_mqtt(self, tag: int) -> bool:
        """Whether the tag comes from a broker."""
        return isinstance(self.config.connections.get(self.tags[tag].connection), MqttConnection)

    def _take(self, info: TagInfo, path: Path) -> None:
        if info.name in self._names:
            self.report(path, f"a second signal `{info.name}`; choose another name", "")
        self._names.add(info.name)
        self.tags.append(info)

    # Where a signal comes from

    def _connection_name(self, machine: PlacedMachine, said: Said) -> str | None:
        if said.value.connection is not None:
            at, name = (*said.path, "connection"), cast(str, said.value.connection)
        else:
            found = machine.first("connection")
            if found is None:
                self.report(
                    said.path, f"no connection is named{suggestion('', self.config.names_in('connections'))}", ""
                )
                return None
            at, name = found.path, found.value
        if name not in self.config.connections:
            if not self.is_aside("connections", name):
                hint = suggestion(name, self.config.names_in("connections")) or "; there is no connection in the file"
                self.report(at, f"unknown connection {self.config.document.shown(at, name)}{hint}", "")
            return None
        return name

    def _item(
        self, machine: PlacedMachine, said: Said, tag: int, name: str, connection: Login | None, *, text: bool
    ) -> str:
        """Make the item; returns its source for messages."""
        if isinstance(connection, OpcUaConnection):
            return self._opcua_item(machine, said, tag, name, connection, text=text)
        if isinstance(connection, MqttConnection):
            return self._mqtt_item(machine, said, tag, name, connection, text=text)
        return ""

    def _opcua_item(
        self, machine: PlacedMachine, said: Said, tag: int, name: str, connection: OpcUaConnection, *, text: bool
    ) -> str:
        signal: Signal = said.value
        if self._of_other_protocol(
            said, ("topic", "path", "time"), f"belongs to MQTT, but connection `{name}` is OPC UA"
        ):
            return ""
        if signal.node is None:
            self.report(said.path, f"`node` is missing: connection `{name}` is OPC UA", "")
            return ""
        node = self._expanded(machine, signal.node, (*said.path, "node"), node_fault)
        interval = signal.sampling_interval
        item = OpcUaItem(
            tag=tag,
            node=node,
            sampling_interval_ns=connection.sampling_interval if interval is None else interval,
            queue_size=connection.queue_size,
            text=text,
        )
        self._opcua.setdefault(name, []).append(item)
        return node

    def _mqtt_item(
        self, machine: PlacedMachine, said: Said, tag: int, name: str, connection: MqttConnection, *, text: bool
    ) -> str:
        signal: Signal = said.value
        other = f"belongs to OPC UA, but connection `{name}` is MQTT"
        if self._of_other_protocol(said, ("node", "sampling_interval"), other):
            return ""
        topic_said = Said(signal.topic, (*said.path, "topic")) if signal.topic is not None else machine.first("topic")
        if topic_said is None:
            self.report(said.path, f"`topic` is missing here and above: connection `{name}` is MQTT", "")
            return ""
        topic = self._expanded(machine, topic_said.value, topic_said.path, topic_fault)
        if topic and connection.subscribe is not None and not any(covers(one, topic) for one in connection.subscribe):
            shown = self._shown(machine, topic_said, topic)
            self.report(
                topic_said.path, f"topic {shown} is not covered by `subscribe` of connection `{name}`", "covered"
            )
        stamp = self._time(machine, said)
        item = MqttItem(
            tag=tag,
            topic=topic,
            payload="plain" if signal.path is None else "json",
            value_path=self._expanded(machine, signal.path or "", (*said.path, "path"), path_fault),
            time_path=None if stamp is None else self._expanded(machine, stamp[0].path, stamp[1], path_fault),
            time_unit="ms" if stamp is None else stamp[0].unit,  # type: ignore[arg-type]  # the model knows these only
            text=text,
        )
        self._mqtt.setdefault(name, []).append(item)
        return f"{topic}#{signal.path}" if signal.path else topic

    def _of_other_protocol(self, said: Said, options: tuple[str, ...], message: str) -> bool:
        strangers = [option for option in options if getattr(said.value, option) is not None]
        for option in strangers:
            self.report((*said.path, option), message, "")
        return bool(strangers)

    @staticmethod
    def _time(machine: PlacedMachine, said: Said) -> tuple[TimeSource, Path] | None:
        """Where the time of a value stands in its message, and where that is said; a plain payload has none."""
        if said.value.path is None:
            return None
        own = said.value.time
        found = machine.first("time") if own is None else Said(own, (*said.path, "time"))
        return None if found is None else (found.value, (*found.path, "path"))

    def _expanded(self, machine: PlacedMachine, text: str, path: Path, check: Callable[[str], str | None]) -> str:
        """The text with the machine's values, checked; empty stays empty, and a fault makes it so."""
        try:
            made = machine.expand(text)
        except PlaceholderError as error:
            self.report(path, str(error), "placeholder")
            return ""
        found = check(made) if text else None
        if found is not None:
            self.report(path, f"{found}, got {self._shown(machine, Said(text, path), made)}", "address")
            return ""
        return made

    def _shown(self, machine: PlacedMachine, said: Said, expanded: str) -> str:
        plain = self.config.document.shown(said.path, expanded)
        same = expanded == said.value or plain != f"`{expanded}`"
        return plain if same else f"{plain} for machine `{machine.options.id}`"

    # Settings of the connectors

    def opcua_settings(self) -> tuple[OpcUaSettings, ...]:
        """Settings of every OPC UA connection that has signals."""
        return tuple(
            _opcua(name, connection, self._link(name), tuple(self._opcua.get(name, ())))
            for name, connection in self.config.connections.items()
            if isinstance(connection, OpcUaConnection) and name in self.links
        )

    def mqtt_settings(self) -> tuple[MqttSettings, ...]:
        """Settings of every MQTT connection that has signals."""
        return tuple(
            _mqtt(self.config.plant.site, name, connection, self._link(name), tuple(self._mqtt.get(name, ())))
            for name, connection in self.config.connections.items()
            if isinstance(connection, MqttConnection) and name in self.links
        )

    def _link(self, name: str) -> Link:
        return Link(self.links[name], self.config.connections[name].link_holds)


def _opcua(name: str, connection: OpcUaConnection, link: Link, items: tuple[OpcUaItem, ...]) -> OpcUaSettings:
    security = connection.security
    return OpcUaSettings(
        name=name,
        endpoint=connection.endpoint,
        link=link,
        items=items,
        publishing_interval_ns=connection.publishing_interval,
        session_timeout_ns=connection.session_timeout,
        request_timeout_ns=connection.request_timeout,
        username=connection.username,
        password=_password(connection),
        security=f"{security.policy},{security.mode}" if security else "None",
        certificate=security.certificate if security else None,
        private_key=security.private_key if security else None,
        server_certificate=security.server_certificate if security else None,
        backoff_first_ns=connection.backoff_first,
        backoff_most_ns=connection.backoff_most,
        retry_set_aside_ns=connection.retry_set_aside,
        most_buffered=connection.buffered_samples,
    )


def _mqtt(site: str, name: str, connection: MqttConnection, link: Link, items: tuple[MqttItem, ...]) -> MqttSettings:
    tls = connection.tls
    topics = tuple(dict.fromkeys(item.topic for item in items))
    return MqttSettings(
        name=name,
        host=connection.host,
        link=link,
        items=items,
        subscribe=topics if connection.subscribe is None else tuple(connection.subscribe),
        port=connection.port or (1883 if tls is None else 8883),
        version=connection.version,  # type: ignore[arg-type]  # the model knows these only
        client_id=connection.client_id or f"edge-agent-{site}-{name}",
        username=connection.username,
        password=_password(connection),
        tls=tls is not None,
        ca_certificate=tls.ca_certificate if tls else None,
        client_certificate=tls.client_certificate if tls else None,
        client_key=tls.client_key if tls else None,
        keep_alive_ns=connection.keep_alive,
        session_expiry_ns=connection.session_expiry,
        retry_set_aside_ns=connection.retry_set_aside,
        most_payload_bytes=connection.largest_payload,
        backoff_first_ns=connection.backoff_first,
        backoff_most_ns=connection.backoff_most,
        most_buffered=connection.buffered_samples,
    )


def _password(connection: Login) -> str | None:
    return None if connection.password is None else connection.password.get_secret_value()
