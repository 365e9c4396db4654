"""What is missing, after any order, repetition, crash and absence of the store, against plain sets."""

from __future__ import annotations

from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from ingest.gaps import AskLimits, GapTracker
from tests.memory_ledger import MemoryLedger
from tests.naive import gaps as naive

numbers = st.lists(st.integers(1, 60), min_size=1, max_size=80)


def save(tracker: GapTracker, ledger: MemoryLedger) -> None:
    changes = tracker.take_changes()
    if not ledger.save(changes.numberings, changes.gaps):
        tracker.put_back(changes)


@given(numbers)
def test_missing_is_what_lies_between_and_was_never_seen(heard: list[int]) -> None:
    tracker, ledger = GapTracker(AskLimits()), MemoryLedger()
    for number in heard:
        tracker.observe("g", number, 1)
    save(tracker, ledger)
    assert ledger.missing() == naive.missing(heard)
    assert tracker.open_gaps()[1] == len(naive.missing(heard))


@given(st.lists(st.one_of(st.integers(1, 60), st.sampled_from(["save", "away", "back", "ask"])), max_size=120))
def test_the_ledger_ends_with_the_same_whenever_it_is_written_or_away(steps: list[int | str]) -> None:
    tracker, ledger = GapTracker(AskLimits(wait_us=1)), MemoryLedger()
    now_us = 1
    for step in [*steps, "back", "save"]:
        now_us += 10
        if isinstance(step, int):
            tracker.observe("g", step, now_us)
        elif step == "ask":
            tracker.ask(now_us)
        elif step == "save":
            save(tracker, ledger)
        else:
            ledger.away = step == "away"
    heard = [step for step in steps if isinstance(step, int)]
    assert ledger.missing() == naive.missing(heard)
    for gap in ledger.gaps.values():
        assert (gap.filled_at_us is None) == bool(gap.missing)


@given(numbers, st.data())
def test_after_a_crash_nothing_missing_is_forgotten(heard: list[int], data: st.DataObject) -> None:
    """What wasn't saved may be asked for again; what never came is asked for in any case."""
    ledger = MemoryLedger()
    tracker = GapTracker(AskLimits())
    crashed = False
    for number in heard:
        tracker.observe("g", number, 1)
        event = data.draw(st.sampled_from(["", "", "save", "crash"]))
        if event == "save":
            save(tracker, ledger)
        elif event == "crash":
            crashed = bool(ledger.numberings) or crashed
            tracker = GapTracker(AskLimits(), *ledger.load())
    # The gateway goes on: what was heard before the crash is now behind.
    if crashed:
        tracker.observe("g", max(heard) + 1, 1)
        save(tracker, ledger)
        first = ledger.numberings["g"].first
        assert ledger.missing() >= {n for n in naive.missing(heard) if n > first}


@given(st.lists(st.integers(1, 80), max_size=120))
def test_memory_is_bounded_and_too_much_is_asked_for_rather_than_too_little(heard: list[int]) -> None:
    tracker, ledger = GapTracker(AskLimits()), MemoryLedger()
    with mock.patch("ingest.gaps.MAX_SPANS", 4):
        for number in heard:
            tracker.observe("g", number, 1)
            save(tracker, ledger)
            assert sum(len(gap.missing) for gap in ledger.gaps.values()) <= 4
    assert ledger.missing() >= naive.missing(heard)
