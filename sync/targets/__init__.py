"""Targets that hold a copy of the grid model: a folder each, one contract."""
