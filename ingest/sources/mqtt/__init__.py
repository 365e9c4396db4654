"""The MQTT bridge: gateways' messages from the broker into Kafka; and a probe of the channel to the broker."""

from ingest.sources.mqtt.bridge import Bridge, BridgeSettings
from ingest.sources.mqtt.probe import ProbeError, ProbeResult, ProbeSettings, measure_channel

__all__ = ["Bridge", "BridgeSettings", "ProbeError", "ProbeResult", "ProbeSettings", "measure_channel"]
