"""Live rules of one meter, interval by interval, in plain Python; imports nothing of Meterline."""

from typing import Any

WANTED = (4, 4, 2, 4, 2, 3)


def holds(
    import_wh: Any,
    export_wh: Any,
    voltage: Any,
    current: Any,
    capacity_wh: Any,
    active: Any,
    generates: Any,
    three: Any,
) -> Any:
    """For each rule True, False, or None where it can't be told."""
    volts = None if voltage is None else [v for v in voltage if v is not None]
    amps = None if current is None else [c for c in current if c is not None]
    there = [] if volts is None else [v for v in volts if v >= 500]
    return (
        None if import_wh is None else import_wh > 20 and not active,
        None if import_wh is None else capacity_wh > 0 and import_wh > 1.1 * capacity_wh,
        None if export_wh is None else export_wh > 20 and not generates,
        None
        if import_wh is None or not amps
        else import_wh == 0 and (export_wh is None or export_wh <= 0) and max(amps) >= 30,
        None if not volts or (three and len(volts) < 3) else three and 0 < len(there) < 3,
        None if not there else any(v < 2070 or v > 2530 for v in there),
    )


def judge(intervals: Any) -> Any:
    """What begins and ends at each interval: a list of (begun, ended), sets of rules."""
    opened, up, down, out = set(), [0] * 6, [0] * 6, []
    for interval in intervals:
        begun, ended = set(), set()
        for rule, state in enumerate(holds(*interval)):
            if state is None:
                continue
            up[rule] = up[rule] + 1 if state else 0
            down[rule] = down[rule] + 1 if not state else 0
            if up[rule] >= WANTED[rule] and rule not in opened:
                opened.add(rule)
                begun.add(rule)
            if rule in opened and down[rule] >= WANTED[rule]:
                opened.discard(rule)
                ended.add(rule)
        out.append((begun, ended))
    return out
