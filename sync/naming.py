"""Names after naming rules: what a name says by its template, and what it should be; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from rapidfuzz.distance import OSA

_SLOT = re.compile(r"\{(\w+)\}")
_NUMBERS = frozenset({"number", "house", "unit"})
_VOWELS = frozenset("aeiou")
#: Letters of a station's skeleton.
_SKELETON = 5

Parts = Mapping[str, str]


@lru_cache(maxsize=512)
def _pattern(template: str) -> re.Pattern[str]:
    parts: list[str] = []
    at = 0
    for slot in _SLOT.finditer(template):
        parts.append(re.escape(template[at : slot.start()]))
        name = slot.group(1)
        if name in _NUMBERS:
            parts.append(rf"(?P<{name}>\d{{1,9}})")
        elif name == "kv":
            parts.append(rf"(?P<{name}>[\d.]+)")
        elif name == "element":
            parts.append(rf"(?P<{name}>\S+)")
        else:
            parts.append(rf"(?P<{name}>.+?)")
        at = slot.end()
    parts.append(re.escape(template[at:]))
    return re.compile("".join(parts))


def parse_name(name: str, templates: Iterable[str]) -> tuple[int, dict[str, str]] | None:
    """Number of the first template that a name follows, and what stands in its slots; None of none."""
    for number, template in enumerate(templates):
        found = _pattern(template).fullmatch(name)
        if found is not None:
            return number, found.groupdict()
    return None


def render(template: str, parts: Parts) -> str | None:
    """The name of the template with these parts; None where one is lacking."""
    if any(slot not in parts for slot in _SLOT.findall(template)):
        return None
    return _SLOT.sub(lambda slot: parts[slot.group(1)], template)


def plain(text: str, words: Mapping[str, str]) -> str:
    """A name in lower case with single spaces and every shortened word written out."""
    return " ".join(words.get(word, word) for word in text.casefold().split())


def skeleton(text: str) -> str:
    """A station's name as dispatch shortens it: its first five letters and digits, of the vowels only the first."""
    letters = [c for c in text.casefold() if c.isalnum()]
    return "".join([c for i, c in enumerate(letters) if i == 0 or c not in _VOWELS][:_SKELETON])


def distance(first: str, second: str, most: int = 4) -> int:
    """Letters left out, put in, exchanged, or two that change places (optimal string alignment); `most` + 1 = more."""
    return OSA.distance(first, second, score_cutoff=most)


def nearest(word: str, known: Sequence[str], most: int = 2) -> str | None:
    """The known word that is nearest, if it is near and no other is as near."""
    found = sorted((distance(word, other, most), other) for other in known)
    close = [(d, other) for d, other in found if d <= most]
    if not close or (len(close) > 1 and close[0][0] == close[1][0]):
        return None
    return close[0][1]
