"""Tariff class of a consumer or generator, from its SimBench profile."""

from __future__ import annotations

#: By the profile's beginning: the first that fits. H0 household, G commercial, L agricultural, B and W industrial
#: (standard load profiles); HLS and APLS are charging points at home and at work, Air and Soil heat pumps by their
#: source, lv and mv the equivalents of whole grids.
_CLASS_BY_PROFILE = (
    ("HLS", "charging"),
    ("APLS", "charging"),
    ("Air", "heating"),
    ("Soil", "heating"),
    ("lv_", "wholesale"),
    ("mv_", "wholesale"),
    ("H", "household"),
    ("G", "commercial"),
    ("L", "agricultural"),
    ("B", "industrial"),
    ("W", "industrial"),
)


def tariff_class(profile: str, *, generation: bool) -> str:
    """Tariff class of a point; ``generation`` of every generator and storage.

    Raises
    ------
    ValueError
        For a profile that SimBench doesn't have.
    """
    if generation:
        return "generation"
    for beginning, name in _CLASS_BY_PROFILE:
        if profile.startswith(beginning):
            return name
    raise ValueError(f"no tariff class for the profile {profile}")
