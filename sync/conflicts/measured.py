"""What measurements say against the records, and values that once were right; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from sync.conflicts.finding import ConflictKind, Finding
from sync.conflicts.values import ModelValues
from sync.identity.clusters import Clusters

#: What a measurement must be at least as sure of before a record counts as impossible.
SURE = 0.9
_DIFFERING = frozenset({ConflictKind.FIELD_DIFFERS, ConflictKind.RELATION_DIFFERS})


@dataclass(frozen=True, slots=True)
class Measured:
    """What a meter's voltage says of it: the area whose transformer it follows, and how sure that is."""

    meter: str
    area: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Former:
    """Values that were so before, as conflicts show them.

    Attributes
    ----------
    model
        Of the grid model, by kind, code and field.
    records
        Of source records, by ``system.dataset``, key and field.
    """

    model: Mapping[tuple[str, str, str], frozenset[str]] = field(default_factory=dict)
    records: Mapping[tuple[str, str, str], frozenset[str]] = field(default_factory=dict)


def find_impossible(clusters: Clusters, model: ModelValues, measured: Iterable[Measured]) -> Iterator[Finding]:
    """Meters whose voltage follows another transformer than the one under which the model has them."""
    meters = {cluster.code: cluster for cluster in clusters.all["meter"] if cluster.code is not None}
    for each in measured:
        known = model.of("meter", each.meter).get("area")
        cluster = meters.get(each.meter)
        if cluster is None or known is None or each.confidence < SURE:
            continue
        # The area must be one that the model has: what is measured must not bring new ones in.
        if str(known) != each.area and model.of("area", each.area):
            said = {"model": str(known), "voltage": each.area}
            yield Finding(
                ConflictKind.IMPOSSIBLE, cluster, "area", "model", "meter", each.meter, each.area, str(known), said,
                each.confidence,
            )  # fmt: skip


def mark_outdated(clusters: Clusters, findings: Iterable[Finding], former: Former) -> Iterator[Finding]:
    """The same findings; one whose record says what the model, or a more recent record of the thing, said before is
    outdated: it was right once, and wasn't brought up to date.
    """
    for finding in findings:
        if finding.kind in _DIFFERING and finding.system != "model" and _was_said(clusters, finding, former):
            yield replace(finding, kind=ConflictKind.OUTDATED)
        else:
            yield finding


def _was_said(clusters: Clusters, finding: Finding, former: Former) -> bool:
    if finding.given is None:
        return False
    cluster = finding.cluster
    if finding.given in former.model.get((cluster.kind, cluster.code or "", finding.field), ()):
        return True
    own = (f"{finding.system}.{finding.dataset}", finding.key)
    places = ((title, clusters.tables[title].keys[row]) for title, row in cluster.places())
    return any(finding.given in former.records.get((*place, finding.field), ()) for place in places if place != own)
