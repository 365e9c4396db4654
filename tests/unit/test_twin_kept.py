"""What a gateway keeps, and what it sends again."""

from __future__ import annotations

import json

import pytest

from twin.kept import KeptMessages


def request(first: int, last: int, kind: str = "resend") -> bytes:
    return json.dumps({"kind": kind, "first": first, "last": last}).encode()


def test_what_is_asked_for_and_kept_is_sent_again() -> None:
    kept = KeptMessages()
    for n in range(5):
        kept.keep(n, f"t/{n}", b"%d" % n)
    kept.keep(2, "t/2", b"a repeat of 2")
    assert kept.asked_for(request(2, 3)) == [("t/2", b"2"), ("t/3", b"3")]
    assert kept.asked_for(request(4, 2**62)) == [("t/4", b"4")]
    assert kept.asked_for(request(3, 2)) == []


def test_the_oldest_make_room_but_for_the_newest() -> None:
    kept = KeptMessages(memory_bytes=10)
    for n in range(4):
        kept.keep(n, "t", bytes(4))
    assert [len(kept.asked_for(request(n, n))) for n in range(4)] == [0, 0, 1, 1]
    kept.keep(9, "t", bytes(100))
    assert kept.asked_for(request(0, 9)) == [("t", bytes(100))]


@pytest.mark.parametrize("broken", [b"", b"[]", b'{"first": 1}', request(0, 9, "another"), b'{"kind": 3}'])
def test_what_is_no_request_for_it_is_passed_over(broken: bytes) -> None:
    kept = KeptMessages()
    kept.keep(1, "t", b"")
    assert kept.asked_for(broken) == []
