"""OPC UA: monitored items of a server as samples, decoded in columns, acknowledged after they are safe."""

from connectors.opcua.connector import OpcUaConnector
from connectors.opcua.settings import OpcUaItem, OpcUaSettings

__all__ = ["OpcUaConnector", "OpcUaItem", "OpcUaSettings"]
