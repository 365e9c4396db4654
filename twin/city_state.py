"""How a city's grid stands while events of operation last: outages, cut-overs, shifted voltages."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from twin.components import TAP_STEP
from twin.effects import CutOver, Effects
from twin.effects_windows import Compact
from twin.network import Network
from twin.steps import Steps
from twin.telemetry_points import SwitchPoint, head_switches
from twin.topology import Topology


class CityState:
    """What is switched how, from the events.

    Attributes
    ----------
    ties
        Nodes that each tie of the network joins, shape (ties, 2).
    switch_points
        Switches that SCADA watches: the breakers at feeders' heads, and those that cut-overs move.
    """

    def __init__(self, network: Network, effects: Effects) -> None:
        self.ties = np.array([(t.start, t.end) for t in network.ties], np.int64).reshape(-1, 2)
        self._network, self._effects = network, effects
        self._tie_of = {t.switch: i for i, t in enumerate(network.ties)}
        self._feeder_at = {f.code: i for i, f in enumerate(network.feeders)}
        heads = head_switches(network.switched)
        moved: dict[str, str] = {}
        for cut in effects.cut_overs():
            moved |= {cut.opens: cut.from_feeder, cut.closes: cut.to_feeder}
        known = {point.switch for point in heads}
        self.switch_points = (
            *(point for point in heads if point.feeder in self._feeder_at),
            *(
                SwitchPoint(f"{switch}-position", feeder, switch)
                for switch, feeder in moved.items()
                if switch not in known
            ),
        )

    def spells(self, steps: Steps) -> Iterator[tuple[int, int, Topology]]:
        """First step, step after the last, and state of each spell in which nothing is switched."""
        states = self._states(steps)
        first = 0
        for i in range(1, len(states) + 1):
            if i == len(states) or states[i] != states[first]:
                yield first, i, states[first]
                first = i

    def _states(self, steps: Steps) -> list[Topology]:
        supplied, shift = self._effects.supplied(steps), self._effects.source_shift(steps)
        cuts = self._effects.cut_overs()
        states = []
        for i, begin_s in enumerate(steps.begin_s.tolist()):
            now = [cut for cut in cuts if _holds(cut, begin_s)]
            taps = {int(a): round(float(v) / TAP_STEP) for a, v in zip(shift.at, shift.values[i], strict=True)}
            states.append(
                Topology(
                    open_lines=frozenset(self._network.sections[cut.opens].line for cut in now),
                    closed_ties=frozenset(self._tie_of[cut.closes] for cut in now),
                    dark_areas=_true(supplied.off_areas, i),
                    dark_feeders=_true(supplied.off_feeders, i),
                    taps=tuple(sorted((a, tap) for a, tap in taps.items() if tap)),
                )
            )
        return states

    def off_meters(self, steps: Steps, sources: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Meters without voltage at the end of each interval; shape (intervals, meters).

        Parameters
        ----------
        sources
            Of each meter its position among points, areas and feeders.
        """
        points, areas = len(self._network.points), len(self._network.areas)
        last = np.flatnonzero(np.append(steps.end_s[1:] != steps.end_s[:-1], True))
        supplied = self._effects.supplied(steps)
        off = np.zeros((len(last), points + areas + len(self._network.feeders)), np.bool_)
        off[:, supplied.off_points.at] = supplied.off_points.values[last]
        off[:, points + supplied.off_areas.at] = supplied.off_areas.values[last]
        return off[:, sources]

    def closed(self, steps: Steps) -> NDArray[np.bool_]:
        """Whether each of `switch_points` is closed; shape (steps, switches)."""
        at = {point.switch: i for i, point in enumerate(self.switch_points)}
        closed = np.ones((len(steps), len(at)), np.bool_)
        dark = self._effects.supplied(steps).off_feeders.spread(len(self._feeder_at))
        for i, point in enumerate(self.switch_points):
            if point.code.endswith("-CB"):
                closed[:, i] = ~dark[:, self._feeder_at[point.feeder]]
        for cut in self._effects.cut_overs():
            closed[:, at[cut.closes]] = False
        for cut in self._effects.cut_overs():
            now = np.array([_holds(cut, begin_s) for begin_s in steps.begin_s.tolist()], np.bool_)
            closed[now, at[cut.opens]] = False
            closed[now, at[cut.closes]] = True
        return closed


def _holds(cut: CutOver, at_s: int) -> bool:
    return cut.begin_s <= at_s and (cut.end_s is None or at_s < cut.end_s)


def _true(compact: Compact[np.bool_], step: int) -> frozenset[int]:
    return frozenset(compact.at[compact.values[step]].tolist())
