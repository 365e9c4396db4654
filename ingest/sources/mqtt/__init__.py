"""The MQTT bridge: gateways' messages from the broker into Kafka."""

from ingest.sources.mqtt.bridge import Bridge, BridgeSettings

__all__ = ["Bridge", "BridgeSettings"]
