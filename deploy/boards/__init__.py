"""Grafana boards as code: panels are defined once, here, and drawn by whoever shows them."""
