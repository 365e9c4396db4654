"""Which records the system takes to be one thing, against what they are; pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from meterline.score.conflicts import Found
from twin.truth_files import Inconsistency

#: Kinds of which keys tell the things, whatever their names or addresses are.
_KEYED = frozenset({"account", "meter"})
#: What befalls names, and addresses.
_NAMES = ("renamed", "misspelt", "misspelt_keyed")


@dataclass(frozen=True, slots=True)
class Named:
    """Things that one system names otherwise than the rest.

    Attributes
    ----------
    things
        Those that another system has a record of.
    matched
        The record is with the others of its thing.
    wrong
        The record is with those of another thing; what is in neither is left by itself.
    """

    things: int
    matched: int
    wrong: int


@dataclass(frozen=True, slots=True)
class IdentityScore:
    """By kind of inconsistency the things of another name; and all records that are with another system's.

    What has a misspelt address but a key that tells what it is counts as ``misspelt_keyed``.
    """

    named: dict[str, Named]
    records: int
    wrong: int


def score_identity(
    truth: Iterable[Inconsistency],
    references: Mapping[Found, str],
    entities: Mapping[Found, int],
    kinds: Mapping[tuple[str, str], str],
) -> IdentityScore:
    """Compare what records are with what the crosswalk says.

    Parameters
    ----------
    references
        Of each record the code of what it is.
    entities
        Of each record the entity, as the crosswalk has it.
    kinds
        By system and table the kind of entity; other tables aren't compared.
    """
    records = {found: code for found, code in references.items() if found[:2] in kinds and found in entities}
    within: dict[int, list[Found]] = defaultdict(list)
    of_thing: dict[tuple[str, str], list[Found]] = defaultdict(list)
    for found, code in records.items():
        within[entities[found]].append(found)
        of_thing[kinds[found[:2]], code].append(found)
    shared = [rows for rows in within.values() if len({system for system, _, _ in rows}) > 1]
    wrong = sum(len(rows) - max(Counter(records[row] for row in rows).values()) for rows in shared)
    named = {kind: Counter[str]() for kind in _NAMES}
    for each in truth:
        row = (each.system, each.table, each.key)
        kind = kinds.get(row[:2])
        others = Counter(entities[r] for r in of_thing.get((kind or "", each.code), ()) if r[0] != each.system)
        name = f"{each.kind}_keyed" if kind in _KEYED else each.kind
        if name not in named or not others:
            continue
        entity = entities.get(row)
        strangers = any(r[0] != each.system for r in within.get(-1 if entity is None else entity, ()))
        right = entity == others.most_common(1)[0][0]
        named[name].update({"things": 1, "matched": int(right), "wrong": int(strangers and not right)})
    return IdentityScore(
        {kind: Named(n["things"], n["matched"], n["wrong"]) for kind, n in named.items()}, sum(map(len, shared)), wrong
    )
