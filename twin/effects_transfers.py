"""Which areas one feeder can give to another: a tie switch is closed, and a switch on the way to it opened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from grid.network import Network, SwitchKind
from grid.topology import SupplyStatus, Wiring, find_paths, taps_at, trace, wire_network
from twin.events import Event


class Transfer(NamedTuple):
    """Part of a feeder that another one can take over (割接), by the codes of the network."""

    from_feeder: str
    to_feeder: str
    opens: str
    closes: str
    areas: tuple[str, ...]
    """Areas and dedicated customers that move."""
    share: float
    """Of what hangs on the giving feeder."""


def find_transfers(network: Network) -> dict[tuple[str, str], list[Transfer]]:
    """All transfers between two feeders that are radial in the normal state, by giver and taker.

    The switch that opens can break load, lies between the giver's head and the tie, and leaves the giver a part.
    """
    wiring = wire_network(network)
    normal = trace(wiring, wiring.normal)
    node_at = {code: i for i, code in enumerate(wiring.nodes)}
    breaking = {s.code for s in network.switches if s.kind is not SwitchKind.DISCONNECTOR}
    found: dict[tuple[str, str], list[Transfer]] = defaultdict(list)
    trees: dict[int, _Tree] = {}
    for tie in network.switches:
        if not tie.is_tie:
            continue
        ends = (node_at[tie.from_node], node_at[tie.to_node])
        if any(normal.status[end] != SupplyStatus.RADIAL for end in ends):
            continue
        for near, far in (ends, ends[::-1]):
            giver, taker = int(normal.feeder[near]), int(normal.feeder[far])
            if giver == taker:
                continue
            if giver not in trees:
                trees[giver] = _Tree(wiring, giver)
            pair = (wiring.feeders[giver], wiring.feeders[taker])
            for opens, areas, share in trees[giver].cuts_before(near):
                if opens in breaking:
                    found[pair].append(Transfer(*pair, opens, tie.code, areas, share))
    return dict(found)


def best_transfer(transfers: list[Transfer], share: float) -> Transfer:
    """The one that moves the share of the giver's areas which comes closest; the nearest to the head of equal ones."""
    return min(transfers, key=lambda t: abs(t.share - share))


def transfer_of(event: Event, transfers: Mapping[tuple[str, str], list[Transfer]]) -> Transfer:
    """The transfer that a cut-over means.

    Raises
    ------
    ValueError
        When its two feeders have none.
    """
    pair = (event.entity, event.other)
    if pair not in transfers:
        raise ValueError(f"no tie switch lets feeder {event.entity} give areas to {event.other!r}")
    return best_transfer(transfers[pair], event.size)


class _Tree:
    """A feeder's nodes as a tree from its head."""

    def __init__(self, wiring: Wiring, feeder: int) -> None:
        self._wiring = wiring
        head = int(wiring.head_node[wiring.head_feeder.tolist().index(feeder)])
        self._reached = find_paths(wiring, wiring.normal, head)
        self._beyond: dict[int, list[int]] = {node: [] for node in self._reached}
        for area, node in enumerate(taps_at(wiring).tolist()):
            if node in self._beyond:
                self._beyond[node].append(area)
        for node, came in reversed(self._reached.items()):
            if came is not None:
                self._beyond[came[1]] += self._beyond[node]
        self._total = len(self._beyond[head])

    def cuts_before(self, node: int) -> list[tuple[str, tuple[str, ...], float]]:
        """Switches between the head and a node, with the areas beyond them and their share; nearest to the head first.

        Left out are those with none or all of the areas beyond them.
        """
        wiring, cuts = self._wiring, []
        while (came := self._reached[node]) is not None:
            edge, nearer = came
            switch, areas = int(wiring.edge_switch[edge]), self._beyond[node]
            if switch >= 0 and 0 < len(areas) < self._total:
                codes = tuple(wiring.areas[a] for a in sorted(areas))
                cuts.append((wiring.switches[switch], codes, len(areas) / self._total))
            node = nearer
        return cuts[::-1]
