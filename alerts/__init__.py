"""Turns stored results into alerts: rules, one alert a condition, delivery."""
