"""What kernels know a member of a unit by. Kernels may not import the grid, so its bits stand here once more."""

from __future__ import annotations

import numpy as np

#: A missing energy.
MISSING_WH = np.iinfo(np.int64).min

#: Bits of a member's role; the same as `grid.model.Role`.
GATEWAY = 1
CUSTOMER = 2
UNIT = 4
#: The same as `grid.roster.UNCONTRACTED`.
UNCONTRACTED = 8
#: The same as `grid.roster.INNER`: a unit whose energy another member has counted already.
INNER = 16
TIE_IN = 32
TIE_OUT = 64

#: Bits of a reading's quality; the same as of `grid.quality.Quality`.
ESTIMATED = 2
SUBSTITUTED = 8
