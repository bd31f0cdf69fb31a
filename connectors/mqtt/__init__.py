"""MQTT: JSON and plain payloads from a broker, QoS 1 with acknowledgement after the samples are safe."""

from connectors.mqtt.connector import MqttConnector
from connectors.mqtt.settings import MqttItem, MqttSettings

__all__ = ["MqttConnector", "MqttItem", "MqttSettings"]
