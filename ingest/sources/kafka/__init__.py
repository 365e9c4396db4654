"""Devices that publish one reading at a time to Kafka: their readings, collected into blocks."""

from ingest.sources.kafka.gatherer import ReadingGatherer, ReadingSettings

__all__ = ["ReadingGatherer", "ReadingSettings"]
