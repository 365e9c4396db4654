"""The digital twin: a real grid, real load profiles and the physics of an independent engine, with the truth kept."""
