"""The channels of an interval block: what is kept of each member, one dense array a channel.

Everything that carries readings (the record on Kafka, rows of a batch, columns of the table) goes by these names, so
that a channel is added here, in a migration and in the message, and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: int64 or int16, as the channel says.
Values = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel. A missing value is the type's minimum, never NULL, so that arrays stay dense.

    Attributes
    ----------
    name
        Name of the column; its suffix is the unit: Wh, tenths of a volt, hundredths of an ampere, thousandths.
    wide
        int64, else int16.
    """

    name: str
    wide: bool

    @property
    def dtype(self) -> type[np.int64 | np.int16]:
        """Type of an element."""
        return np.int64 if self.wide else np.int16

    @property
    def missing(self) -> int:
        """What stands for a missing value."""
        return int(np.iinfo(self.dtype).min)

    def blank(self, size: int) -> Values:
        """`size` missing values."""
        return np.full(size, self.missing, self.dtype)


def _named(names: str, *, wide: bool) -> dict[str, Channel]:
    return {name: Channel(name, wide) for name in names.split()}


IMPORT = "import_wh"
EXPORT = "export_wh"
LOSS = "loss_wh"
SIGMA = "sigma_wh"
FINAL = "final_us"

#: Cumulative registers at the interval's end, and at its beginning: the closing ones of the interval before.
CLOSING = ("register_import_wh", "register_export_wh")
OPENING = ("opening_import_wh", "opening_export_wh")

#: What a meter says of an interval.
MEASURED: dict[str, Channel] = {
    **_named("import_wh export_wh register_import_wh register_export_wh", wide=True),
    **_named(
        "voltage_a_dv voltage_b_dv voltage_c_dv current_a_ca current_b_ca current_c_ca power_factor_permille",
        wide=False,
    ),
}

#: Channels that hold a precedence of their own, in the order in which rows keep them.
VOTING: dict[str, Channel] = {
    **MEASURED,
    **_named("opening_import_wh opening_export_wh final_us", wide=True),
}

#: What a member that is a unit says of all that is below it: technical loss in thousandths of a watt-hour, standard
#: deviation of what was sold, and the part of it from classes of accuracy.
TECHNICAL = "technical_milli_wh"
SOLD_SIGMA = "sold_sigma_wh"
SOLD_SYSTEMATIC = "sold_systematic_wh"
#: Part of `SIGMA` that the intervals share: of a unit that is the sum of its parts, the classes of their gateways.
SIGMA_SYSTEMATIC = "sigma_systematic_wh"

#: What the error of an estimate adds to a sum over time beyond `SIGMA`: errors inside a gap hang together.
GAP_SIGMA = "gap_sigma_wh"

#: Channels that are set together with the import, by its precedence: loss inside a unit, deviation of a substitute.
FOLLOWING: dict[str, Channel] = _named(
    f"loss_wh sigma_wh {TECHNICAL} {SOLD_SIGMA} {SOLD_SYSTEMATIC} {SIGMA_SYSTEMATIC} {GAP_SIGMA}",
    wide=True,
)

CHANNELS: dict[str, Channel] = {**VOTING, **FOLLOWING}
