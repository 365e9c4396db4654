"""Pure steps: a batch and the stored state in, rows and messages out. No I/O, no clock."""
