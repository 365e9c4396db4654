"""What of a unit's figures is published, and when: provisional, final, restated.

A figure's history follows from the times at which messages were received, and from the limits; not from when or in
which batches they were worked on. A row first gathers: its figures are shown as they grow, as revision 0, until the
provisional limit, which counts from the interval's end, or from the first message where that came later. Then each
change is a revision of its own: the state at that limit, each later one, the final one when every member is there or
at the final limit, and each restatement after it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grid.limits import Limits
from grid.roster import UnitView
from grid.rows import BALANCE_COLUMNS, FIGURES, NEVER_US, BalanceRows, Status, Superseded, figures_differ

_SECOND_US = 1_000_000


class Publication:
    """The published state of a batch's rows while it is worked on.

    Parameters
    ----------
    views, observed_at_us
        Of each row.
    balances
        As stored; changed in place.
    version
        The rows' versions, raised in place by each publication.
    """

    def __init__(
        self,
        views: Sequence[UnitView],
        observed_at_us: NDArray[np.int64],
        balances: BalanceRows,
        version: NDArray[np.int64],
        limits: Limits,
    ) -> None:
        of_row = [limits.of(view.kind) for view in views]
        self._observed_at_us = observed_at_us
        self._provisional_us = np.array([li.provisional_s for li in of_row], np.int64) * _SECOND_US
        self._final_us = observed_at_us + np.array([li.final_s for li in of_row], np.int64) * _SECOND_US
        self.balances = balances
        self._version = version
        self._stored_revision = balances.revision.copy()
        self._superseded: list[tuple[NDArray[np.intp], BalanceRows]] = []
        self.published = 0

    def pass_provisional(self, numbers: NDArray[np.intp], until_us: NDArray[np.int64]) -> NDArray[np.intp]:
        """Publish what provisional limits before `until_us` ask for; returns rows that were published.

        Limits are passed strictly: what came at the very instant still counts.
        """
        b = self.balances
        due = numbers[(b.due_us[numbers] != NEVER_US) & (b.due_us[numbers] < until_us)]
        gathering = due[b.revision[due] == 0]
        early: NDArray[np.intp] = gathering[b.due_us[gathering] < self._final_us[gathering]]
        self._publish(early, Status.PROVISIONAL, b.due_us[early])
        b.due_us[early] = self._final_us[early]
        return early

    def pass_final(self, numbers: NDArray[np.intp], until_us: NDArray[np.int64]) -> NDArray[np.intp]:
        """Publish what final limits before `until_us` ask for, after `pass_provisional`; returns rows as it does."""
        b = self.balances
        last: NDArray[np.intp] = numbers[(b.due_us[numbers] != NEVER_US) & (b.due_us[numbers] < until_us)]
        self._publish(last, Status.FINAL, b.due_us[last])
        b.due_us[last] = NEVER_US
        return last

    def came_earlier(self, numbers: NDArray[np.intp], at_us: NDArray[np.int64]) -> None:
        """Let rows that still gather count from what has changed them at `at_us`, where it came before all else.

        Members' messages and those of smaller units are worked on side by side: which comes first there is open.
        """
        b = self.balances
        waits = (b.revision[numbers] == 0) & (b.due_us[numbers] != NEVER_US)
        numbers, at_us = numbers[waits], at_us[waits]
        limit_us = np.maximum(self._observed_at_us[numbers], at_us) + self._provisional_us[numbers]
        b.due_us[numbers] = np.minimum(b.due_us[numbers], limit_us)

    def refigure(
        self,
        numbers: NDArray[np.intp],
        figures: BalanceRows,
        complete: NDArray[np.bool_],
        new: NDArray[np.bool_],
        at_us: NDArray[np.int64],
        limited: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.intp]:
        """Take over new figures of rows that have changed at `at_us`; returns rows that were published.

        Parameters
        ----------
        figures
            Of shape (len(numbers),), in their order; only columns of `FIGURES` are read.
        complete
            Whether every member is there, and final where it is a unit.
        new
            Whether there was no row before.
        limited
            Rows whose change belongs to the limit at that instant: the final one publishes it at once; None = none.
        """
        limited = np.zeros(len(numbers), np.bool_) if limited is None else limited
        b = self.balances
        differs = new | figures_differ(b, numbers, figures)
        status = b.status[numbers]
        open_ = status == Status.PROVISIONAL
        restated = ~open_ & differs
        final = open_ & (complete | (limited & (b.revision[numbers] > 0) & (b.due_us[numbers] == at_us)))
        provisional = open_ & ~final & differs & (b.revision[numbers] > 0)
        for which, kind in ((restated, Status.RESTATED), (final, Status.FINAL), (provisional, Status.PROVISIONAL)):
            self._publish(numbers[which], kind, at_us[which])
        for name in FIGURES:
            getattr(b, name)[numbers] = getattr(figures, name)
        born = numbers[new]
        b.due_us[born] = np.maximum(self._observed_at_us[born], at_us[new]) + self._provisional_us[born]
        b.due_us[numbers[final]] = NEVER_US
        published: NDArray[np.intp] = numbers[restated | final | provisional]
        return published

    def _publish(self, numbers: NDArray[np.intp], status: Status, at_us: NDArray[np.int64]) -> None:
        if not len(numbers):
            return
        b = self.balances
        # Several messages of one instant are one publication, in however many batches they come: the limits of all
        # areas of a feeder pass at once, and each tells of it. What was final is never replaced in place.
        is_open = b.status[numbers] == Status.PROVISIONAL
        at_once = is_open & (b.revision[numbers] > 0) & (b.published_us[numbers] == at_us)
        b.status[numbers[at_once]] = status
        numbers, at_us = numbers[~at_once], at_us[~at_once]
        # What the store holds is moved there by the store; what only this batch has seen is kept here.
        mine = numbers[b.revision[numbers] > self._stored_revision[numbers]]
        if len(mine):
            self._superseded.append((mine, b.take(mine)))
        self.published += len(numbers)
        b.revision[numbers] += 1
        b.status[numbers] = status
        b.published_us[numbers] = at_us
        self._version[numbers] += 1

    def superseded(
        self, unit_id: NDArray[np.int32], interval_s: NDArray[np.int32], observed_at_us: NDArray[np.int64]
    ) -> Superseded:
        """Published results of this batch that a later one of it has taken the place of; arguments by row."""
        if not self._superseded:
            none = np.empty(0, np.intp)
            return Superseded(unit_id[none], interval_s[none], observed_at_us[none], self.balances.take(none))
        numbers = np.concatenate([n for n, _ in self._superseded])
        balances = BalanceRows(
            **{name: np.concatenate([getattr(part, name) for _, part in self._superseded]) for name in BALANCE_COLUMNS}
        )
        return Superseded(unit_id[numbers], interval_s[numbers], observed_at_us[numbers], balances)
