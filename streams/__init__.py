"""Stream processing: pure steps, and the thin Faust agents that run them."""
