"""Sources of telemetry, a folder each."""
