from __future__ import annotations

import base64
import json
import socket
import subprocess
import threading
import time
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from meterline.webhook import WebhookSender, is_public, signing_key
from store.deliveries import MAX_DELAY_S, Attempt, Outcome, Outgoing, Target, retry_delay_s
from tests.waiting import Promise
from tests.webhook_receiver import SECRET, receive


def outgoing(url: str, body: object = None, allow_private: bool = True, secret: bytes = SECRET) -> Outgoing:
    target = Target("test", url, secret, allow_private)
    return Outgoing(uuid4(), target, json.dumps(body if body is not None else {"a": 1}).encode(), 1)


def send(*batch: Outgoing, timeout_s: float = 10.0) -> list[Attempt]:
    return WebhookSender(threading.Event(), timeout_s)(batch)


def test_the_reference_library_verifies_the_signature() -> None:
    with receive() as receiver:
        sent = outgoing(receiver.url, {"name": "台区 1 é"})
        assert send(sent) == [Attempt(Outcome.DELIVERED)]
        assert receiver.accepted == {str(sent.delivery_id): 1}
        assert receiver.bodies == [{"name": "台区 1 é"}]


def test_the_local_time_zone_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        with receive() as receiver:
            assert send(outgoing(receiver.url))[0].outcome is Outcome.DELIVERED
    finally:
        monkeypatch.undo()
        time.tzset()


def test_another_secret_is_refused() -> None:
    with receive() as receiver:
        (attempt,) = send(outgoing(receiver.url, secret=b"another"))
        assert attempt == Attempt(Outcome.FAILED, "HTTP 401")
        assert receiver.forged == 1


def test_a_redirect_is_not_followed() -> None:
    with receive() as elsewhere, receive(lambda _: 307) as receiver:
        receiver.redirect_to = elsewhere.url
        assert send(outgoing(receiver.url)) == [Attempt(Outcome.FAILED, "HTTP 307")]
        assert not elsewhere.seen


def test_gone_and_wishes() -> None:
    with receive(lambda _: 410) as receiver:
        assert send(outgoing(receiver.url))[0].outcome is Outcome.GONE
    with receive(lambda _: 429) as receiver:
        receiver.headers = {"retry-after": "120"}
        receiver.body = b"slow\x00down\n" * 100_000
        (attempt,) = send(outgoing(receiver.url))
        assert attempt.outcome is Outcome.FAILED
        assert attempt.retry_after_s == 120
        assert attempt.detail.startswith("HTTP 429: slow down")
        assert len(attempt.detail) < 1_100
    with receive(lambda _: 503) as receiver:
        receiver.headers = {"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"}
        assert send(outgoing(receiver.url))[0].retry_after_s == 0


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/", "http://", "not a url", "http://[::1", "http://no-such-name.invalid/", "http://a b/"]
)
def test_an_address_that_leads_nowhere_is_a_failed_attempt(url: str) -> None:
    (attempt,) = send(outgoing(url))
    assert attempt.outcome is Outcome.FAILED
    assert attempt.detail


def test_one_bad_target_does_not_spoil_the_batch() -> None:
    with receive() as receiver:
        attempts = send(outgoing("http://127.0.0.1:1/"), outgoing(receiver.url), outgoing("ftp://x/"))
    assert [a.outcome for a in attempts] == [Outcome.FAILED, Outcome.DELIVERED, Outcome.FAILED]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433"])  # noqa: S104
def test_private_addresses_are_refused(host: str) -> None:
    with receive() as receiver:
        port = httpx.URL(receiver.url).port
        (attempt,) = send(outgoing(f"http://{host}:{port}/hook", allow_private=False))
        assert attempt.outcome is Outcome.FAILED
        assert "not a public address" in attempt.detail
        assert not receiver.seen
        assert receiver.forged == 0


@pytest.mark.parametrize(
    "address",
    [
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
        "::",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
    ],
)
def test_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public(address: str) -> None:
    assert is_public(address)


@pytest.fixture
def own_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate for `localhost` that this process trusts."""
    file = tmp_path / "cert.pem"
    key = tmp_path / "key.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    try:
        subprocess.run([*command.split(), "-keyout", key, "-out", file], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    file.write_bytes(file.read_bytes() + key.read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    return file


def test_tls_is_checked_against_the_name_though_the_address_is_called(own_certificate: Path) -> None:
    with receive(certificate=own_certificate) as receiver:
        named = receiver.url.replace("127.0.0.1", "localhost")
        assert send(outgoing(named)) == [Attempt(Outcome.DELIVERED)]
        (attempt,) = send(outgoing(receiver.url))
        assert attempt.outcome is Outcome.FAILED
        assert "certificate verify failed" in attempt.detail


class SilentServer:
    """Accepts connections and sends one byte of a header now and then."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/"
        threading.Thread(target=self._drip, daemon=True).start()

    def _drip(self) -> None:
        try:
            connection, _ = self.socket.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nx: ")
                while True:
                    connection.sendall(b"a")
                    time.sleep(0.1)
        except OSError:
            pass


def test_an_answer_that_drips_is_cut_off_as_a_whole(promise: Promise) -> None:
    server = SilentServer()
    started = time.monotonic()
    (attempt,) = send(outgoing(server.url), timeout_s=0.5)
    assert attempt == Attempt(Outcome.FAILED, "no answer within 0.5 s")
    promise("an answer that drips is cut off", time.monotonic() - started, 2)
    server.socket.close()


def test_stop_gives_up_what_is_on_its_way(promise: Promise) -> None:
    server, stop = SilentServer(), threading.Event()
    threading.Timer(0.3, stop.set).start()
    started = time.monotonic()
    assert WebhookSender(stop)([outgoing(server.url)]) == [Attempt(Outcome.NOT_SENT)]
    promise("a stop gives up what is on its way", time.monotonic() - started, 1.5)
    server.socket.close()


def test_secrets_are_read_as_receivers_read_them() -> None:
    secret = "whsec_" + base64.b64encode(b"twenty-four bytes or more").decode()
    assert signing_key(secret) == signing_key(secret.removeprefix("whsec_")) == Webhook(secret)._whsecret
    for bad in ("", "short", "whsec_", "whsec_@@@@", "whsec_c2hvcnQ=", "twenty-four bytes or more"):
        with pytest.raises(ValueError, match=r"too short|not base64"):
            signing_key(bad)


def test_the_secret_is_not_shown() -> None:
    assert SECRET.decode() not in repr(outgoing("http://127.0.0.1/"))


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True), st.floats(0, 1e9))
def test_delays_grow_to_an_hour(attempts: int, jitter: float, wish_s: float) -> None:
    delay = retry_delay_s(attempts, jitter, wish_s)
    assert 1 <= delay <= MAX_DELAY_S
    assert delay >= min(wish_s, MAX_DELAY_S)
    assert retry_delay_s(attempts + 1, jitter) >= retry_delay_s(attempts, jitter)
