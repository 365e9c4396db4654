from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from standardwebhooks import Webhook

from meterline.webhook import signatures, signing_keys
from store.breaker import Breaker

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def s(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_it_opens_after_failures_in_a_row_and_tries_with_one() -> None:
    breaker = Breaker(failures=3, first_s=5, most_s=20)
    breaker.note(0, 2, NOW)
    assert breaker.allowed(NOW, 32) == 32
    breaker.note(1, 2, NOW)  # one arrived
    breaker.note(0, 2, NOW)
    assert breaker.allowed(NOW, 32) == 32
    breaker.note(0, 1, NOW)
    assert [breaker.allowed(s(t), 32) for t in (0, 4.9, 5)] == [0, 0, 1]
    breaker.note(0, 1, s(5))
    assert [breaker.allowed(s(t), 32) for t in (14.9, 15)] == [0, 1]
    for _ in range(10):
        breaker.note(0, 1, s(15))
    assert breaker.allowed(s(34.9), 32) == 0
    assert breaker.allowed(s(35), 32) == 1
    breaker.note(1, 0, s(35))
    assert breaker.allowed(s(35), 32) == 32


def test_nothing_sent_is_no_failure() -> None:
    breaker = Breaker(failures=1)
    breaker.note(0, 0, NOW)
    assert breaker.allowed(NOW, 32) == 32


def test_the_reference_library_verifies_signatures_of_times_that_are_not_utc() -> None:
    secret = b"a secret that both sides know"
    for hours in (-9, 0, 5.5, 8):
        at = datetime.now(timezone(timedelta(hours=hours)))
        body = b'{"type":"alert.opened"}'
        headers = {
            "webhook-id": "m-1",
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": signatures("m-1", at, body, (b"the new key, of 24 bytes or more", secret)),
        }
        assert Webhook(secret).verify(body, headers) == {"type": "alert.opened"}


def test_a_file_of_secrets_has_the_new_one_first() -> None:
    keys = signing_keys("whsec_bmV3IGtleSBvZiAyNCBieXRlcyBvciBtb3Jl\n\nb2xkIGtleSBvZiAyNCBieXRlcyBvciBtb3Jl\n")
    assert keys == (b"new key of 24 bytes or more", b"old key of 24 bytes or more")
