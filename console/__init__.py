"""The web console: HTTP API and pages. Filled by a later release."""
