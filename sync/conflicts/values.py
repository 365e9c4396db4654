"""Fields and relations of which several say something; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from grid.present import GridView
from sync.authority import Authority
from sync.conflicts.finding import ConflictKind, Finding, text
from sync.conflicts.vote import Said, minority
from sync.identity.accounts import account_of
from sync.identity.clusters import Cluster, Clusters
from sync.identity.near import same
from sync.reading import Rows, Value

#: Fields that are compared, by kind of entity.
_FIELDS = {
    "area": ("rating_va", "no_load_loss_w", "load_loss_w"),
    "segment": ("length_m", "resistance_ohm", "reactance_ohm"),
    "switch": ("normal",),
    "meter": ("multiplier", "accuracy_class"),
    "account": ("contract_w", "tariff_class", "status"),
}
#: Relations that are compared, by kind of entity.
_RELATIONS = {
    "feeder": ("substation",),
    "area": ("feeder",),
    "segment": ("feeder",),
    "switch": ("feeder",),
    "meter": ("area", "account"),
    "point": ("rtu",),
}


class ModelValues:
    """What the grid model says of an entity by field; of relations the related code. Made when it is asked for."""

    def __init__(self, grid: GridView) -> None:
        self._feeders = grid.feeders
        self._areas = {area.code: area for area in grid.areas}
        self._meters = grid.meters
        self._accounts = grid.accounts
        self._segments = {edge.code: edge for edge in grid.segments}
        self._switches = {edge.code: edge for edge in grid.switches}

    def of(self, kind: str, code: str | None) -> Mapping[str, Value]:
        """Values by field; none of what the model doesn't know."""
        if code is None:
            return {}
        if kind == "meter" and (meter := self._meters.get(code)) is not None:
            return {
                "multiplier": meter.multiplier, "accuracy_class": meter.accuracy_class,
                "area": meter.unit if meter.unit in self._areas else None, "account": meter.account,
            }  # fmt: skip
        if kind == "account" and (account := self._accounts.get(code)) is not None:
            return {
                "contract_w": account.contract_w, "tariff_class": account.tariff_class, "status": account.status,
            }  # fmt: skip
        if kind == "area" and (area := self._areas.get(code)) is not None:
            # A loss of 0 stands for one that nobody knows.
            return {
                "rating_va": area.rating_va or None, "no_load_loss_w": area.no_load_loss_w or None,
                "load_loss_w": area.load_loss_w or None, "feeder": area.feeder,
            }  # fmt: skip
        if kind == "feeder" and code in self._feeders:
            return {"substation": self._feeders[code]}
        if kind == "segment" and (edge := self._segments.get(code)) is not None:
            return {
                "length_m": edge.length_m,
                "resistance_ohm": edge.resistance_ohm,
                "reactance_ohm": edge.reactance_ohm,
            }
        if kind == "switch" and (edge := self._switches.get(code)) is not None:
            return {"normal": edge.normal}
        return {}


def compare_fields(clusters: Clusters, model: ModelValues, authority: Authority) -> Iterator[Finding]:
    """Fields in which a record, or the model, differs from the rest."""
    carried, alone = _carried_contracts(clusters)
    yield from _without_account(clusters, alone, model, authority)
    for kind, fields in _FIELDS.items():
        for cluster in clusters.all[kind]:  # type: ignore[index]
            known = model.of(kind, cluster.code)
            for field in fields:
                said = list(_said(clusters, cluster, field))
                if field == "contract_w":
                    said += (each for meter in carried.get(cluster, ()) for each in _said(clusters, meter, field))
                if known.get(field) is not None:
                    said.append(Said("model", None, None, known[field]))
                if len(said) > 1:
                    yield from _differing(clusters, cluster, field, said, authority, ConflictKind.FIELD_DIFFERS)


def _said(clusters: Clusters, cluster: Cluster, field: str) -> Iterator[Said]:
    for title, row in cluster.places():
        table = clusters.tables[title]
        values = table.fields.get(field)
        if values is not None and values[row] is not None:
            yield Said(table.system, table.dataset, row, values[row])


def _carried_contracts(clusters: Clusters) -> tuple[dict[Cluster, tuple[Cluster, ...]], list[tuple[Cluster, Said]]]:
    """Capacities that GIS notes at a meter are those of its account: by accounts their meters with one.

    Those of meters without an account are listed apart.
    """
    found: dict[Cluster, tuple[Cluster, ...]] = {}
    alone: list[tuple[Cluster, Said]] = []
    for cluster in clusters.all["meter"]:
        said = list(_said(clusters, cluster, "contract_w"))
        account = (account_of(clusters, cluster) or clusters.adopted.get(id(cluster))) if said else None
        if account is None:
            alone += ((cluster, each) for each in said)
        else:
            found[account] = (*found.get(account, ()), cluster)
    return found, alone


def _without_account(
    clusters: Clusters, alone: list[tuple[Cluster, Said]], model: ModelValues, authority: Authority
) -> Iterator[Finding]:
    """Where marketing's record is lacking, the model still knows the meter's account."""
    for cluster, said in alone:
        account = model.of("meter", cluster.code).get("account")
        known = model.of("account", str(account)).get("contract_w")
        if known is not None:
            both = [said, Said("model", None, None, known)]
            yield from _differing(clusters, cluster, "contract_w", both, authority, ConflictKind.FIELD_DIFFERS)


def _differing(
    clusters: Clusters,
    cluster: Cluster,
    field: str,
    said: list[Said],
    authority: Authority,
    kind: ConflictKind,
) -> Iterator[Finding]:
    first = said[0].value
    if all(same(first, each.value) for each in said):
        return
    best, others = minority(said, authority.order(cluster.kind, field))
    listed = {_where(clusters, each): _shown(each.value) for each in said}
    for each in others:
        if each.system == "model":
            yield Finding(
                kind, cluster, field, "model", cluster.kind, cluster.code, _shown(best), _shown(each.value), listed
            )
        elif each.dataset is not None and each.row is not None:
            title = f"{each.system}.{each.dataset}"
            confidence = (cluster.link((title, each.row)) or ("", 1.0))[1]
            key = clusters.tables[title].keys[each.row]
            yield Finding(
                kind, cluster, field, each.system, each.dataset, key, _shown(best), _shown(each.value), listed,
                confidence,
            )  # fmt: skip


def _shown(value: Value | Cluster) -> str | None:
    return text(label(value) if isinstance(value, Cluster) else value)


def _where(clusters: Clusters, said: Said) -> str:
    if said.system == "model":
        return "model"
    if said.dataset is None or said.row is None:
        return said.system
    title = f"{said.system}.{said.dataset}"
    return f"{title}/{clusters.tables[title].keys[said.row]}"


def compare_relations(clusters: Clusters, model: ModelValues, authority: Authority) -> Iterator[Finding]:
    """Relations in which a record, or the model, differs from the rest."""
    for kind, relations in _RELATIONS.items():
        for relation in relations:
            target_kind = "area" if relation == "area" else relation
            by_code = {c.code: c for c in clusters.all[target_kind] if c.code is not None}  # type: ignore[index]
            for cluster in clusters.all[kind]:  # type: ignore[index]
                said = list(_related(clusters, cluster, relation))
                known = model.of(kind, cluster.code).get(relation)
                if known in by_code:
                    said.append(Said("model", None, None, by_code[str(known)]))
                if len(said) > 1:
                    yield from _differing(clusters, cluster, relation, said, authority, ConflictKind.RELATION_DIFFERS)


def label(cluster: Cluster) -> str:
    """What a related entity is called: the model's code, or what it is known by."""
    return cluster.code or " ".join(cluster.identity)


def _related(clusters: Clusters, cluster: Cluster, relation: str) -> Iterator[Said]:
    for title, row in cluster.places():
        table = clusters.tables[title]
        target = clusters.target(table, relation, row)
        if target is not None:
            yield Said(table.system, table.dataset, row, target)
        witness = _named(clusters, table, row, relation)
        # A name bears witness to the relation; what is wrong with it is a matter of its own.
        if witness is not None:
            yield Said(f"{title} name", None, None, witness, 1.5 if relation == "rtu" else 0.75)


def _named(clusters: Clusters, table: Rows, row: int, relation: str) -> Cluster | None:
    name = table.names[row] if table.names else None
    if name is None or name.parts is None or "station" not in name.parts:
        return None
    if relation == "feeder" and "number" in name.parts:
        return clusters.find("feeder", clusters.stations.feeder(name))
    if relation == "substation":
        return clusters.find("substation", (clusters.stations.station(name.parts["station"]),))
    if relation == "rtu":
        return clusters.find("rtu", (clusters.stations.station(name.parts["station"]),))
    return None
