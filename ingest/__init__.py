"""Decoders (pure: bytes in, a block or a rejection out) and the sources that feed Kafka."""
