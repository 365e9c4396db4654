"""Who differs: values of one field, said by several; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sync.identity.clusters import Cluster
from sync.identity.near import same
from sync.reading import Value


class Said(NamedTuple):
    """What one record says: a value, or a cluster to which it leads.

    `dataset` and `row` are None of the grid model, or of a name that only bears witness.
    """

    system: str
    dataset: str | None
    row: int | None
    value: Value | Cluster
    weight: float = 1.0


def minority(said: Sequence[Said], order: Sequence[str]) -> tuple[Value | Cluster, list[Said]]:
    """What most say, and those that say otherwise.

    Of two that say different things with equal weight, the model is taken to be right (what stood is changed only when
    more speaks against it), and then the system that comes first in `order`.
    """
    groups: list[list[Said]] = []
    for each in said:
        for group in groups:
            if same(group[0].value, each.value):
                group.append(each)
                break
        else:
            groups.append([each])
    if len(groups) < 2:
        return (groups[0][0].value if groups else None), []
    rank = {system: place for place, system in enumerate(order)}

    def standing(group: list[Said]) -> tuple[float, bool, int]:
        return (
            sum(each.weight for each in group),
            any(each.system == "model" for each in group),
            -min(rank.get(each.system, len(rank)) for each in group),
        )

    best = max(groups, key=standing)
    return best[0].value, [each for group in groups if group is not best for each in group]
