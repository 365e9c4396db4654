"""Meters that lead to no account, and accounts that no meter names: which belong together; pure."""

from __future__ import annotations

from collections.abc import Iterator

from sync.identity.clusters import Cluster, Clusters
from sync.identity.exact import address_key
from sync.identity.linkage import Field, LinkPlan, link
from sync.reading import Name, Value

#: House and unit are the same, and place or street; in the other one, two letters may be wrong. By hand, as
#: `sync.identity.scoring.WEIGHTS`.
_PLAN = LinkPlan(
    fields=(
        Field("place", (1, 2), same=(0.9645, 0.02, 0.015, 0.0005), other=(0.05, 0.001, 0.001, 0.948)),
        Field("street", (1, 2), same=(0.9645, 0.02, 0.015, 0.0005), other=(0.01, 0.0005, 0.0005, 0.989)),
        Field("capacity", same=(0.97, 0.03), other=(0.05, 0.95)),
    ),
    blocks=(("house", "unit", "place"), ("house", "unit", "street")),
)


def adopt_accounts(clusters: Clusters) -> dict[int, Cluster]:
    """By meter (`id` of its cluster) the account that is most probably its own, where no reference says so."""
    named: set[int] = set()
    lost: list[Cluster] = []
    for meter in clusters.all["meter"]:
        account = account_of(clusters, meter)
        if account is not None:
            named.add(id(account))
        else:
            lost.append(meter)
    meters, of_meters = _addressed(clusters, lost)
    accounts, of_accounts = _addressed(clusters, [c for c in clusters.all["account"] if id(c) not in named])
    adopted: dict[int, Cluster] = {}
    for _, meter_row, account_row in link(of_meters, of_accounts, _PLAN):
        adopted.setdefault(id(meters[meter_row]), accounts[account_row])
    return adopted


def _addressed(clusters: Clusters, listed: list[Cluster]) -> tuple[list[Cluster], dict[str, list[str | None]]]:
    """Each address once: whose it is, and its parts with the capacity."""
    owners: list[Cluster] = []
    columns: dict[str, list[str | None]] = {name: [] for name in ("place", "street", "house", "unit", "capacity")}
    for cluster in listed:
        keys = {key for each in _addresses(clusters, cluster) if (key := address_key(each.parts)) is not None}
        for key in sorted(keys):
            owners.append(cluster)
            for name, value in zip(columns, (*key, _text(_capacity(clusters, cluster))), strict=True):
                columns[name].append(value)
    return owners, columns


def account_of(clusters: Clusters, meter: Cluster) -> Cluster | None:
    """The account of a meter, as a system that knows accounts has it."""
    for title, row in meter.places():
        account = clusters.target(clusters.tables[title], "account", row)
        if account is not None:
            return account
    return None


def _addresses(clusters: Clusters, cluster: Cluster) -> Iterator[Name]:
    for title, row in cluster.places():
        table = clusters.tables[title]
        name = table.addresses[row] if table.addresses else None
        if name is not None and (name.parts is None or "street" in name.parts):
            yield name


def _capacity(clusters: Clusters, cluster: Cluster) -> Value:
    for title, row in cluster.places():
        values = clusters.tables[title].fields.get("contract_w")
        if values is not None and values[row] is not None:
            return values[row]
    return None


def _text(value: Value) -> str | None:
    # What rounding does is left out.
    return f"{value:.6g}" if isinstance(value, float) else value
