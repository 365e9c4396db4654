"""The roll-out (推广实施) and its service desk: plan, decisions, tickets, releases, reports."""
