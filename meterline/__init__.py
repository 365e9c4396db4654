"""Composition root: configuration, command line, wiring."""
