"""OPC UA: monitored items of a server as samples."""

from connectors.opcua.settings import OpcUaItem, OpcUaSettings

__all__ = ["OpcUaItem", "OpcUaSettings"]
