"""How gaps are noticed and asked for, step by step."""

from __future__ import annotations

import json
from collections.abc import Iterable

import jsonschema
import pytest

from grid.numbering import Gap, Numbering
from ingest.gaps import MAX_GAP, AskLimits, GapTracker, ResendRequest
from ingest.requests import encode_request, gateway_of, request_schema, sequence_of
from ingest.resend import Resender
from tests.memory_ledger import MemoryLedger

S = 1_000_000
LIMITS = AskLimits(wait_us=5 * S, tries=3, outstanding=2, numbers=10)


def tracker_of(numbers: Iterable[int], limits: AskLimits = LIMITS) -> GapTracker:
    tracker = GapTracker(limits)
    for number in numbers:
        tracker.observe("g", number, 0, number)
    return tracker


def restarts(numbers: Iterable[int]) -> tuple[int, int, int]:
    """Restarts, open gaps and missing messages after `numbers`."""
    tracker = tracker_of(numbers)
    return tracker.restarts, *tracker.open_gaps()[:2]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([5, 6, 7], (0, 0, 0)),
        ([5, 7], (0, 1, 1)),
        ([5, 7, 6], (0, 0, 0)),
        ([5, 9, 7], (0, 1, 2)),
        ([5, 6, 5, 6], (0, 0, 0)),
        # From before the first that was heard: nothing is known of those.
        ([5, 3], (0, 0, 0)),
        # A counter that was set to 0, at once; its repeat is none.
        ([500, 501, 0, 1, 2], (1, 0, 0)),
        ([0, 1, 2, 0, 3], (0, 0, 0)),
        # Missing, not restarted.
        ([1, 500, 0], (1, 0, 0)),
        # As far as a gateway may have been away.
        ([0, MAX_GAP + 1], (0, 1, MAX_GAP)),
        # Further, it counts anew: one message alone may be wrong, a second confirms it.
        ([0, MAX_GAP + 2], (0, 0, 0)),
        ([0, 2**61, 1, 2], (0, 0, 0)),
        ([0, 2**61, 2**61 + 1], (1, 0, 0)),
        ([0, 2**61, 2**61 + 5], (1, 1, 4)),
        ([2**61, 7, 8], (1, 0, 0)),
    ],
)
def test_what_numbers_say(numbers: list[int], expected: tuple[int, int, int]) -> None:
    assert restarts(numbers) == expected


def test_another_message_with_number_0_is_a_restart_however_soon() -> None:
    tracker = GapTracker(LIMITS)
    for number, digest in ((0, 1), (1, 0), (2, 0), (0, 1), (0, 2)):
        tracker.observe("g", number, 0, digest)
    assert tracker.restarts == 1
    (numbering,) = tracker.take_changes().numberings
    assert (numbering.numbering, numbering.last, numbering.zero_digest) == (2, 0, 2)


def test_gateways_are_counted_apart() -> None:
    tracker = GapTracker(LIMITS)
    for gateway, number in (("a", 1), ("b", 7), ("a", 2), ("b", 9)):
        tracker.observe(gateway, number, 0)
    assert [(gap.gateway, gap.missing) for gap in tracker.take_changes().gaps] == [("b", ((8, 8),))]


def test_asks_after_a_while_with_growing_patience_and_gives_up() -> None:
    tracker = tracker_of([1, 5])
    assert tracker.ask(5 * S - 1) == []
    assert tracker.ask(5 * S) == [ResendRequest("g", 2, 4)]
    times = []
    for second in range(6, 200):
        tracker.observe("g", second, second * S)  # it is heard, and doesn't answer
        times += [second] * len(tracker.ask(second * S))
    assert times == [5 + 10, 15 + 20]
    assert tracker.open_gaps() == (1, 3, 1)


def test_a_silent_gateway_is_asked_once_and_again_when_it_is_heard() -> None:
    tracker = tracker_of([1, 5])
    assert len(tracker.ask(5 * S)) == 1
    assert tracker.ask(3_600 * S) == []
    tracker.observe("g", 6, 3_601 * S)
    assert tracker.ask(3_601 * S) == [ResendRequest("g", 2, 4)]


def test_an_answer_in_progress_isn_t_asked_for_again_and_what_follows_is() -> None:
    tracker = tracker_of([0, 30])
    assert tracker.ask(5 * S) == [ResendRequest("g", 1, 10)]
    for number in range(1, 10):
        tracker.observe("g", number, (5 + number) * S)
    assert tracker.ask(16 * S) == []
    tracker.observe("g", 10, 17 * S)
    assert tracker.ask(17 * S) == [ResendRequest("g", 11, 20)]


def test_few_requests_are_outstanding_at_once() -> None:
    tracker = tracker_of([1, 3, 5, 7, 9])
    assert tracker.ask(5 * S) == [ResendRequest("g", 2, 2), ResendRequest("g", 4, 4)]
    assert tracker.ask(6 * S) == []
    tracker.observe("g", 2, 6 * S)
    assert tracker.ask(6 * S) == [ResendRequest("g", 6, 6)]


def test_gaps_of_an_earlier_numbering_aren_t_asked_for() -> None:
    tracker = tracker_of([1, 5])
    tracker.ask(5 * S)
    tracker.observe("g", 0, 6 * S, 7)
    assert tracker.ask(100 * S) == []
    changes = tracker.take_changes()
    assert [(gap.numbering, gap.missing) for gap in changes.gaps] == [(1, ((2, 4),))]
    ledger = MemoryLedger()
    ledger.save(changes.numberings, changes.gaps)
    assert GapTracker(LIMITS, *ledger.load()).open_gaps() == (0, 0, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Numbering("g", 0, 0, 1, 1),
        lambda: Numbering("g", 1, 0, 2, 1),
        lambda: Gap("g", 1, 2, 4, ((3, 5),), 0),
        lambda: Gap("g", 1, 2, 4, (), 0),
        lambda: Gap("g", 1, 2, 4, ((2, 2),), 0, filled_at_us=1),
        lambda: AskLimits(tries=0),
    ],
)
def test_a_wrong_value_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="g"):
        wrong()  # type: ignore[operator]


class Rig:
    """A resender with a clock of its own."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.ledger = MemoryLedger()
        self.asked: list[ResendRequest] = []
        self.resender = Resender(self.ledger, LIMITS, lambda: self.now_s)

    def hear(self, *numbers: int) -> None:
        self.resender.heard(("meterline/v1/g/block/A1", b"", number) for number in numbers)

    def step(self, now_s: float) -> list[ResendRequest]:
        self.now_s = now_s
        self.asked.clear()
        self.resender.step(lambda request: not self.asked.append(request))  # type: ignore[func-returns-value]
        return self.asked


def test_is_saved_before_it_is_asked_for_and_only_when_something_changed() -> None:
    rig = Rig()
    rig.hear(1, 2, 3, 7)
    assert rig.step(1) == []
    assert rig.ledger.missing() == {4, 5, 6}
    assert rig.ledger.writes == 1
    rig.step(2)
    assert rig.ledger.writes == 1
    assert rig.step(6) == [ResendRequest("g", 4, 6)]
    assert [gap.requests for gap in rig.ledger.gaps.values()] == [1]


def test_asks_nothing_while_the_store_is_away_and_forgets_nothing() -> None:
    rig = Rig()
    rig.hear(1, 2)
    rig.step(1)
    rig.ledger.away = True
    rig.hear(7)
    assert rig.step(20) == []
    rig.hear(4)
    rig.ledger.away = False
    assert rig.step(21) == [ResendRequest("g", 3, 6)]
    assert rig.ledger.missing() == {3, 5, 6}


def test_the_number_is_read_from_messages_that_were_refused() -> None:
    rig = Rig()
    for payload in (b'{"sequence": 4, "meter": "nonsense"}', b"{", b'{"sequence": -1}', b'{"sequence": 6}', b"\xff"):
        rig.resender.heard([("meterline/v1/g/scada/F1", payload, None), ("elsewhere", payload, 99)])
    rig.step(1)
    assert rig.ledger.missing() == {5}


@pytest.mark.parametrize(
    ("topic", "gateway"),
    [("meterline/v1/g/block/A1", "g"), ("meterline/v1/g/event/x/y", "g"), ("meterline/v1/g", None), ("a/b/c/d", None)],
)
def test_a_topic_names_its_gateway(topic: str, gateway: str | None) -> None:
    assert gateway_of(topic) == gateway


def test_a_request_follows_its_schema() -> None:
    payload = encode_request(ResendRequest("g", 4, 6))
    assert json.loads(payload) == {"kind": "resend", "first": 4, "last": 6}
    jsonschema.validate(json.loads(payload), request_schema())
    assert sequence_of(payload) is None
