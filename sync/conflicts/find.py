"""All contradictions, of every kind; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from grid.present import GridView
from sync.authority import Authority
from sync.conflicts.finding import Finding
from sync.conflicts.measured import Former, Measured, find_impossible, mark_outdated
from sync.conflicts.names import compare_addresses, compare_names
from sync.conflicts.presence import find_duplicates, find_missing, find_orphans
from sync.conflicts.values import ModelValues, compare_fields, compare_relations
from sync.identity.clusters import Clusters


def find_conflicts(
    clusters: Clusters,
    grid: GridView,
    authority: Authority,
    measured: Iterable[Measured] = (),
    former: Former | None = None,
) -> list[Finding]:
    """Every contradiction once, in order of fingerprints.

    Parameters
    ----------
    measured
        What voltages say of meters.
    former
        What was so before; None: nothing is known of that, and nothing is found outdated.
    """
    all_found = mark_outdated(clusters, _all(clusters, grid, authority, measured), former or Former())
    found = {finding.fingerprint: finding for finding in all_found}
    return [found[fingerprint] for fingerprint in sorted(found)]


def _all(clusters: Clusters, grid: GridView, authority: Authority, measured: Iterable[Measured]) -> Iterator[Finding]:
    orphans, told = find_orphans(clusters)
    yield from orphans
    yield from find_missing(clusters, told)
    yield from find_duplicates(clusters)
    model = ModelValues(grid)
    yield from compare_fields(clusters, model, authority)
    yield from compare_relations(clusters, model, authority)
    yield from find_impossible(clusters, model, measured)
    yield from compare_names(clusters)
    yield from compare_addresses(clusters, authority)
