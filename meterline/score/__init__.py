"""How near the system came to the truth: pure computation but for `reading`."""
