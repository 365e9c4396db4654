"""Members of a unit over their valid periods, held as columns: most of what a worker holds is members."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grid.model import PHASES

#: In a column of integers: there is none. No register, no modulus and no unit's number is that small.
NONE = np.iinfo(np.int64).min
_MEMBER = np.dtype(
    [
        ("valid_from_us", np.int64),
        ("valid_to_us", np.int64),
        ("child_id", np.int64),
        ("multiplier", np.int64),
        ("register_modulus_wh", np.int64),
        ("accuracy_class", np.float64),
        ("position", np.int32),
        ("role", np.uint8),
        ("phases", np.uint8),
        ("inner", np.bool_),
    ]
)
_LAPSE = np.dtype([("from_us", np.int64), ("to_us", np.int64), ("position", np.int32)])
_PHASE_BITS = {"A": 1, "B": 2, "C": 4}
_PHASES: dict[int, str | None] = {sum(_PHASE_BITS[phase] for phase in phases): phases for phases in PHASES} | {0: None}


@dataclass(frozen=True, slots=True)
class Membership:
    """One member of a unit over one valid period [from, to)."""

    position: int
    meter: str | None
    child_id: int | None
    role: int
    multiplier: int
    accuracy_class: float
    """Of the meter and its transformers together; of a child unit, its gateway's."""
    valid_from_us: int
    valid_to_us: int
    start_import_wh: int | None = None
    """Register at the meter when the period began, before the multiplier (起码); None = not known."""
    start_export_wh: int | None = None
    end_import_wh: int | None = None
    """Register when the period ended (止码)."""
    end_export_wh: int | None = None
    register_modulus_wh: int | None = None
    """What the register counts up to before it begins at 0 again; None = not known."""
    phases: str | None = None
    """Of `grid.model.PHASES`; None = not known."""
    inner: bool = False
    """Of a voltage level's member: it is within another one."""


@dataclass(frozen=True, slots=True)
class Lapse:
    """A period [from, to) in which a customer's meter had no active account."""

    position: int
    from_us: int
    to_us: int


class Memberships(Sequence[Membership]):
    """Memberships of one unit in the order given; each is made anew when it is asked for.

    Attributes
    ----------
    columns
        Structured array of shape (n,), not to be changed: the fields of `Membership` that are numbers, and ``phases``
        as bits 1, 2, 4 for A, B, C. In ``child_id`` and ``register_modulus_wh`` the least number says that there is
        none.
    meters
        Codes of the meters, shape (n,); null where the member is a unit.
    """

    __slots__ = ("_registers", "columns", "meters")

    def __init__(self, memberships: Iterable[Membership]) -> None:
        given = list(memberships)
        self.columns: NDArray[Any] = np.array(
            [
                (
                    m.valid_from_us,
                    m.valid_to_us,
                    NONE if m.child_id is None else m.child_id,
                    m.multiplier,
                    NONE if m.register_modulus_wh is None else m.register_modulus_wh,
                    m.accuracy_class,
                    m.position,
                    m.role,
                    sum(_PHASE_BITS[phase] for phase in m.phases or ""),
                    m.inner,
                )
                for m in given
            ],
            _MEMBER,
        )
        self.meters: pa.StringArray = pa.array([m.meter for m in given], pa.string())
        # Few stays begin or end with a register that somebody has read.
        registers = enumerate(map(_registers, given))
        self._registers = {i: known for i, known in registers if any(wh is not None for wh in known)}

    @classmethod
    def of(cls, memberships: Sequence[Membership]) -> Memberships:
        """The same, as columns if they aren't yet."""
        return memberships if isinstance(memberships, cls) else cls(memberships)

    def __len__(self) -> int:
        return len(self.columns)

    @overload
    def __getitem__(self, index: int) -> Membership: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Membership]: ...

    def __getitem__(self, index: int | slice) -> Membership | Sequence[Membership]:
        if isinstance(index, slice):
            return tuple(self.some(range(*index.indices(len(self)))))
        return next(self.some([range(len(self))[index]]))

    def __iter__(self) -> Iterator[Membership]:
        return self.some(range(len(self)))

    def some(self, numbers: Sequence[int] | NDArray[np.intp]) -> Iterator[Membership]:
        """Those with these numbers, from 0."""
        wanted = np.asarray(numbers, np.intp)
        rows = self.columns[wanted].tolist()
        meters = self.meters.take(pa.array(wanted)).to_pylist()
        for i, meter, row in zip(wanted.tolist(), meters, rows, strict=True):
            from_us, to_us, child_id, multiplier, modulus_wh, accuracy_class, position, role, bits, inner = row
            yield Membership(
                position,
                meter,
                None if child_id == NONE else child_id,
                role,
                multiplier,
                accuracy_class,
                from_us,
                to_us,
                *self._registers.get(i, (None, None, None, None)),
                register_modulus_wh=None if modulus_wh == NONE else modulus_wh,
                phases=_PHASES[bits],
                inner=inner,
            )


class Lapses(Sequence[Lapse]):
    """Lapses of one unit's members in the order given; each is made anew when it is asked for.

    Attributes
    ----------
    columns
        Structured array of shape (n,) with the fields of `Lapse`, not to be changed.
    """

    __slots__ = ("columns",)

    def __init__(self, lapses: Iterable[Lapse]) -> None:
        self.columns: NDArray[Any] = np.array([(one.from_us, one.to_us, one.position) for one in lapses], _LAPSE)

    @classmethod
    def of(cls, lapses: Sequence[Lapse]) -> Lapses:
        """The same, as columns if they aren't yet."""
        return lapses if isinstance(lapses, cls) else cls(lapses)

    def __len__(self) -> int:
        return len(self.columns)

    @overload
    def __getitem__(self, index: int) -> Lapse: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Lapse]: ...

    def __getitem__(self, index: int | slice) -> Lapse | Sequence[Lapse]:
        if isinstance(index, slice):
            return tuple(_lapse(*row) for row in self.columns[index].tolist())
        return _lapse(*self.columns[index].tolist())

    def __iter__(self) -> Iterator[Lapse]:
        return (_lapse(*row) for row in self.columns.tolist())


def _registers(member: Membership) -> tuple[int | None, int | None, int | None, int | None]:
    return member.start_import_wh, member.start_export_wh, member.end_import_wh, member.end_export_wh


def _lapse(from_us: int, to_us: int, position: int) -> Lapse:
    return Lapse(position, from_us, to_us)
