"""What runs Meterline: the local stack, the compose file, the Grafana boards and the servers' settings."""
