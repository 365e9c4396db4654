"""All steps of identity: exact keys and names, the grid model's codes, then what is left over; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grid.present import GridView
from sync.identity.clusters import Cluster, Clusters
from sync.identity.codes import find_codes
from sync.identity.exact import exact_clusters, fold_repeated
from sync.identity.near import match_near
from sync.reading import Rows

#: What SCADA measures at a feeder's head.
_MEASURED = ("p", "q", "u", "i")


def resolve(tables: Sequence[Rows], grid: GridView, words: Mapping[str, str]) -> Clusters:
    """Which rows are the same thing, and what the grid model calls it."""
    clusters = exact_clusters(tables)
    clusters.heads = frozenset(grid.breakers.values())
    fold_repeated(clusters)
    find_codes(clusters, grid)
    match_near(clusters, words)
    # What came together by now may say more of the rest.
    find_codes(clusters, grid)
    expect_points(clusters, grid)
    match_near(clusters, words)
    return clusters


def expect_points(clusters: Clusters, grid: GridView) -> None:
    """Say which SCADA points there should be: four and the breaker at each feeder's head, and one of each switch."""
    if not clusters.titles("point"):
        return
    for feeder in clusters.all["feeder"]:
        for what in (*_MEASURED, *(("cb",) if feeder.code in grid.breakers else ())):
            clusters.expect("point", (*feeder.identity, what), feeder)
    for switch in clusters.all["switch"]:
        station, number, element = switch.identity
        name = (station, number, _point_name(clusters, switch, element))
        # What one system alone knows is expected elsewhere only when SCADA knows it too.
        if station and (len(switch.titles) > 1 or clusters.find("point", name) is not None):
            clusters.expect("point", name, switch)


def _point_name(clusters: Clusters, switch: Cluster, element: str) -> str:
    if switch.code in clusters.heads:
        return "cb"
    tie = any(
        (name := clusters.tables[title].names[row]) is not None and " tie " in name.raw
        for title, row in switch.places()
    )
    return f"tie{element}" if tie else f"sw{element}"
