"""Sends over HTTP: webhooks, signed after Standard Webhooks, and what else takes a POST; within bounds of time and
size, to addresses that may be called.

A receiver's answer is never followed elsewhere, and hardly read: the status says all.
"""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import ipaddress
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
from standardwebhooks import Webhook

from store.deliveries import Attempt, Outcome, Outgoing, Target

TIMEOUT_S = 10.0
#: Of an answer's body, what is read for the error message.
_MAX_ANSWER = 1_024
#: Of the answer to a question, which is read whole.
_MAX_READ = 64 << 20
_STOP_CHECK_S = 0.1
_CONNECTIONS = 16
#: What Standard Webhooks asks for.
_MIN_KEY = 24
_MAX_KEYS = 4
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


# httpcore looks for it several times a request: a fifth of the time went into searching the disk for what isn't there.
if importlib.util.find_spec("sniffio") is None:
    sys.modules["sniffio"] = None  # type: ignore[assignment]  # says that it isn't there


class RefusedAddressError(ValueError):
    """The target is at an address that it isn't allowed to be at."""


def signing_key(secret: str) -> bytes:
    """Key of a shared secret: base64, with or without ``whsec_`` before it, as receivers' libraries read it.

    Raises
    ------
    ValueError
        When it isn't base64, or has less than 24 bytes.
    """
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        raise ValueError("the secret is not base64") from None
    if len(key) < _MIN_KEY:
        raise ValueError(f"a secret of {len(key)} bytes is too short: at least {_MIN_KEY}")
    return key


def signing_keys(secrets: str) -> tuple[bytes, ...]:
    """Keys of a file of secrets, a line each: the new one first, then those that receivers may still know.

    Raises
    ------
    ValueError
        When one can't be used, there is none, or there are more than four.
    """
    lines = [line.strip() for line in secrets.splitlines() if line.strip()]
    if not 1 <= len(lines) <= _MAX_KEYS:
        raise ValueError(f"expected 1 to {_MAX_KEYS} secrets, a line each")
    return tuple(signing_key(line) for line in lines)


def signatures(message_id: str, at: datetime, body: bytes, keys: Sequence[bytes]) -> str:
    """Header ``webhook-signature`` of a message: a signature a key.

    Parameters
    ----------
    at
        Aware. The reference library signs the wall clock of a zone other than UTC as if it were UTC.
    """
    instant = at.astimezone(UTC)
    return " ".join(Webhook(key).sign(message_id, instant, body.decode()) for key in keys)


@dataclass(frozen=True, slots=True)
class HttpPost:
    """What to post: where below the target's address, the body and its headers."""

    body: bytes
    headers: Mapping[str, str]
    path: str = ""


#: Makes the request of one delivery at an instant.
MakePost = Callable[[Outgoing, datetime], HttpPost]


def webhook_post(outgoing: Outgoing, now: datetime) -> HttpPost:
    """A webhook: the notice as it is, signed."""
    message_id, target = str(outgoing.delivery_id), outgoing.target
    return HttpPost(
        outgoing.body,
        {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signatures(message_id, now, outgoing.body, (target.secret, *target.old_secrets)),
        },
    )


class WebhookSender:
    """A `store.deliveries.Send`.

    Parameters
    ----------
    stop
        When it is set, what is on its way is given up at once and counts as not sent.
    timeout_s
        For one attempt as a whole, names and TLS included.
    make_post
        What is posted; by default a webhook.
    """

    def __init__(self, stop: threading.Event, timeout_s: float = TIMEOUT_S, make_post: MakePost = webhook_post) -> None:
        self._stop = stop
        self._make_post = make_post
        self._timeout_s = timeout_s
        self._tls = ssl.create_default_context()

    def __call__(self, batch: Sequence[Outgoing]) -> list[Attempt]:
        """Send a batch at once; returns an attempt for each, in order."""
        return asyncio.run(self._send_all(batch))

    async def _send_all(self, batch: Sequence[Outgoing]) -> list[Attempt]:
        # Environment proxies are passed over: behind one, no address could be checked.
        async with httpx.AsyncClient(verify=self._tls, trust_env=False, follow_redirects=False) as client:
            free = asyncio.Semaphore(_CONNECTIONS)
            tasks = [asyncio.create_task(self._send(client, free, outgoing)) for outgoing in batch]
            waiting = set(tasks)
            while waiting and not self._stop.is_set():
                _, waiting = await asyncio.wait(waiting, timeout=_STOP_CHECK_S)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            return [Attempt(Outcome.NOT_SENT) if task.cancelled() else task.result() for task in tasks]

    async def _send(self, client: httpx.AsyncClient, free: asyncio.Semaphore, outgoing: Outgoing) -> Attempt:
        async with free:
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self._post(client, outgoing)
            except TimeoutError:
                return Attempt(Outcome.FAILED, f"no answer within {self._timeout_s:g} s")
            except RefusedAddressError as error:
                return Attempt(Outcome.FAILED, str(error))
            except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
                return Attempt(Outcome.FAILED, f"{type(error).__name__}: {error}")

    async def _post(self, client: httpx.AsyncClient, outgoing: Outgoing) -> Attempt:
        target = outgoing.target
        url = httpx.URL(target.url)
        address = await _resolve(target, url)
        now = datetime.now(UTC)
        post = self._make_post(outgoing, now)
        if post.path:
            url = url.copy_with(path=url.path.rstrip("/") + post.path)
        request = client.build_request(
            "POST",
            # To the address that was checked, so that the name can't mean another one a moment later.
            url.copy_with(host=address),
            content=post.body,
            headers={
                "host": url.netloc.decode("ascii"),
                "content-type": "application/json",
                "user-agent": "meterline",
                **post.headers,
            },
            extensions={"sni_hostname": url.host},
        )
        response = await client.send(request, stream=True)
        try:
            if response.is_success:
                return Attempt(Outcome.DELIVERED)
            detail = f"HTTP {response.status_code}: {await _beginning(response)}".rstrip(": ")
            if response.status_code == httpx.codes.GONE:
                return Attempt(Outcome.GONE, detail)
            return Attempt(Outcome.FAILED, detail, _retry_after_s(response, now))
        finally:
            await response.aclose()


class AskError(RuntimeError):
    """A question that wasn't answered as it must be; the message says why."""


def ask_signed(target: Target, url: str, message_id: str, question: bytes, now: datetime, tls: ssl.SSLContext) -> bytes:
    """Post a question, signed as a webhook, and return the answer's body, of up to 64 MiB.

    Parameters
    ----------
    tls
        Made once for many questions: reading the certificates takes as long as ten of them.

    Raises
    ------
    AskError
    """
    return asyncio.run(_ask(target, httpx.URL(url), message_id, question, now, tls))


async def _ask(
    target: Target, url: httpx.URL, message_id: str, question: bytes, now: datetime, tls: ssl.SSLContext
) -> bytes:
    headers = {
        "host": url.netloc.decode("ascii"),
        "content-type": "application/json",
        "user-agent": "meterline",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signatures(message_id, now, question, (target.secret, *target.old_secrets)),
    }
    try:
        client = httpx.AsyncClient(verify=tls, trust_env=False, follow_redirects=False)
        async with asyncio.timeout(TIMEOUT_S), client:
            address = await _resolve(target, url)
            request = client.build_request(
                "POST",
                url.copy_with(host=address),
                content=question,
                headers=headers,
                extensions={"sni_hostname": url.host},
            )
            response = await client.send(request, stream=True)
            try:
                if not response.is_success:
                    raise AskError(f"HTTP {response.status_code}: {await _beginning(response)}".rstrip(": "))
                answer = bytearray()
                async for chunk in response.aiter_bytes():
                    answer += chunk
                    if len(answer) > _MAX_READ:
                        raise AskError(f"an answer of more than {_MAX_READ} bytes")
                return bytes(answer)
            finally:
                await response.aclose()
    except TimeoutError:
        raise AskError(f"no answer within {TIMEOUT_S:g} s") from None
    except (RefusedAddressError, httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
        raise AskError(f"{type(error).__name__}: {error}") from None


async def _resolve(target: Target, url: httpx.URL) -> str:
    if url.scheme not in ("http", "https") or not url.host:
        raise RefusedAddressError(f"{target.name}: not an http or https address")
    port = url.port or (443 if url.scheme == "https" else 80)
    found = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if not target.allow_private:
        refused = next((address for address in addresses if not is_public(address)), None)
        if refused is not None:
            raise RefusedAddressError(f"{target.name}: {refused} is not a public address (allow_private isn't set)")
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, also when it wraps an IPv4 address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None and not is_public(str(inner)):
            return False
        if ip.ipv4_mapped:
            return True
    return ip.is_global and not ip.is_multicast


async def _beginning(response: httpx.Response) -> str:
    read = b""
    async for chunk in response.aiter_raw():
        read += chunk
        if len(read) >= _MAX_ANSWER:
            break
    text = read[:_MAX_ANSWER].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _retry_after_s(response: httpx.Response, now: datetime) -> float:
    value = response.headers.get("retry-after", "")
    if value.isdecimal():
        return float(value[:9])
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (ValueError, TypeError):
        return 0.0
