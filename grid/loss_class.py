"""What a loss is called, and why it is as it is: classes and reason codes of settled results."""

from __future__ import annotations

from enum import IntEnum, IntFlag


class LossClass(IntEnum):
    """Class of a loss; names in lower case are what the store holds."""

    NOT_COMPUTABLE = 0  # 不可算
    NORMAL = 1
    HIGH = 2  # 高损: the whole band lies above the limit
    NEGATIVE = 3  # 负损: the whole band lies below the limit; wrong data, not gain


class LossReason(IntFlag):
    """Why a loss isn't computable or isn't to be trusted as it stands, and what may be behind it; several may hold.

    The numbers are stored: a new reason takes the next bit, none changes its own.
    """

    NO_GATEWAY = 1  # no gateway meter is recorded for the unit
    MISSING_GATEWAY = 2  # a gateway reading has not come
    MISSING_MEMBERS = 4  # a member that is expected has not come
    ESTIMATED = 8  # an estimate has entered
    SUBSTITUTED = 16  # a substitute has entered, as power measured by SCADA for a register
    SWITCHED = 32  # a member came or went, or its attributes changed, inside the interval
    BACK_FEED = 64  # gave more back through its gateways than it took
    LOW_INFLOW = 128  # too little went in for a rate
    GENERATION = 256  # customers or smaller units fed energy in
    UNCONTRACTED = 512  # energy was taken without an active account
    WIDE_BAND = 1_024  # the error is too large against the limits to tell a class
    SUSPECTED_CT = 2_048  # the loss is what a phase or a transformer's ratio that is wrong would make
    SUSPECTED_RELATION = 4_096  # more was sold than went in: a customer of another area, or a meter, is wrong
    NO_TECHNICAL = 8_192  # the technical loss isn't known
    SUSPECT = 16_384  # a reading that was suspect when it came has entered
    REGISTERS = 32_768  # from registers over the whole of it, as from daily frozen ones
    PART_UNKNOWN = 65_536  # the loss inside a smaller unit isn't known: what is below isn't all there
    FEW_MEASURED = 131_072  # too little of the period was measured well enough for a class


def reason_names(reasons: int) -> list[str]:
    """Names of the reasons in a mask, in lower case, by their bits."""
    return [str(reason.name).lower() for reason in LossReason if reason & reasons]
