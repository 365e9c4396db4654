"""Numba numerics: arrays and masks in, arrays out. No I/O, no clock."""
