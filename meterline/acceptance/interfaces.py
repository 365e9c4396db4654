"""What stands around a site: protocol endpoints, the source of its time, printers of certificates."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

import httpx

from meterline.settings.sync import AcceptanceSection, EndpointSection
from sync.rollout.acceptance import Check

_WITHIN_S = 5.0
#: Seconds between 1900, from which NTP counts, and 1970.
_NTP_EPOCH = 2_208_988_800
_NTP_PORT = 123
_PORTS = {"http": 80, "https": 443, "ipp": 631, "socket": 9100}


def check_interfaces(options: AcceptanceSection) -> list[Check]:
    """Each that is configured answers by its protocol; and the clock is kept."""
    endpoints = [_check(f"endpoint {each.name}", each) for each in options.endpoints]
    printers = [_check(f"printer {each.name}", each) for each in options.printers]
    return [*endpoints, *check_time(options), *printers]


def _check(name: str, endpoint: EndpointSection) -> Check:
    parts = urlsplit(endpoint.url)
    wanted = f"answers at {endpoint.url}"
    if parts.scheme == "cups":
        return _cups(name, parts.netloc, wanted)
    try:
        found = _ASK[parts.scheme](endpoint.url, parts.hostname or "", _port_of(parts))
    except (OSError, httpx.HTTPError, ValueError) as error:
        return Check("interfaces", name, ok=False, found=str(error) or type(error).__name__, wanted=wanted)
    return Check("interfaces", name, ok=True, found=found, wanted=wanted)


def _port_of(parts: SplitResult) -> int:
    port = parts.port or _PORTS.get(parts.scheme)
    if port is None:
        raise ValueError("its address names no port")
    return port


def _tcp(_url: str, host: str, port: int) -> str:
    with socket.create_connection((host, port), timeout=_WITHIN_S):
        return "accepts connections"


def _tls(_url: str, host: str, port: int) -> str:
    with (
        socket.create_connection((host, port), timeout=_WITHIN_S) as plain,
        ssl.create_default_context().wrap_socket(plain, server_hostname=host) as secure,
    ):
        return f"{secure.version()}, its certificate is trusted"


def _http(url: str, _host: str, _port: int) -> str:
    status = httpx.get(url, timeout=_WITHIN_S, follow_redirects=False).status_code
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise ValueError(f"answers {status}")
    return f"answers {status}"


def _ipp(url: str, host: str, port: int) -> str:
    """Ask a printer for its state: Get-Printer-Attributes of IPP/1.1 (RFC 8011)."""
    path = urlsplit(url).path or "/ipp/print"
    attributes = (
        (0x47, b"attributes-charset", b"utf-8"),
        (0x48, b"attributes-natural-language", b"en"),
        (0x45, b"printer-uri", url.encode()),
        (0x44, b"requested-attributes", b"printer-state"),
    )
    body = struct.pack(">BBHIB", 1, 1, 0x000B, 1, 0x01)
    body += b"".join(
        struct.pack(">BH", tag, len(name)) + name + struct.pack(">H", len(value)) + value
        for tag, name, value in attributes
    )
    answer = httpx.post(
        f"http://{host}:{port}{path}", content=body + b"\x03", headers={"content-type": "application/ipp"},
        timeout=_WITHIN_S,
    )  # fmt: skip
    if not answer.is_success or len(answer.content) < 8:
        raise ValueError(f"answers {answer.status_code}, not as a printer")
    status = struct.unpack(">H", answer.content[2:4])[0]
    if status >= 0x0100:
        raise ValueError(f"refuses with IPP status {status:#06x}")
    place = answer.content.find(b"printer-state\x00\x04")
    value = answer.content[place + 15 : place + 19]
    if place >= 0 and len(value) < 4:
        raise ValueError("its answer breaks off")
    state = None if place < 0 else int.from_bytes(value, "big")
    if state == 5:
        raise ValueError("the printer is stopped")
    return {3: "idle", 4: "printing"}.get(state or 0, "answers")


_ASK: dict[str, Callable[[str, str, int], str]] = {
    "tcp": _tcp, "socket": _tcp, "tls": _tls, "http": _http, "https": _http, "ipp": _ipp,
}  # fmt: skip


def _cups(name: str, queue: str, wanted: str) -> Check:
    program = shutil.which("lpstat")
    if program is None:
        return Check("interfaces", name, ok=False, found="lpstat (CUPS) isn't installed", wanted=wanted)
    said = _run([program, "-p", queue])
    good = said is not None and queue in said and "disabled" not in said
    return Check("interfaces", name, good, (said or "unknown to CUPS")[:200], wanted)


def check_time(options: AcceptanceSection) -> list[Check]:
    """What the machine's own time service says, and how far a configured time server is off."""
    checks = []
    if options.time_service:
        checks.append(_time_service(options.time_within_s))
    if options.time_server:
        wanted = f"within {options.time_within_s:g} s of {options.time_server}"
        try:
            offset, half = ntp_offset(options.time_server)
        except (OSError, ValueError) as error:
            checks.append(Check("interfaces", "time server", ok=False, found=str(error), wanted=wanted))
        else:
            good = abs(offset) - half <= options.time_within_s
            checks.append(Check("interfaces", "time server", good, f"{offset:+.3f} s, ± {half:.3f} s", wanted))
    return checks


def _time_service(within_s: float) -> Check:
    wanted = f"chrony or systemd-timesyncd keeps the clock within {within_s:g} s"
    if (program := shutil.which("chronyc")) is not None:
        fields = (_run([program, "-c", "tracking"]) or "").split(",")
        if len(fields) > 13:
            # Source, then, as the manual of chronyc numbers them: [4] offset of the system clock, [13] leap status.
            off = abs(float(fields[4]))
            good = off <= within_s and fields[13].strip() != "Not synchronised"
            return Check("interfaces", "time service", good, f"chrony: {off:.6f} s off, {fields[13].strip()}", wanted)
        return Check("interfaces", "time service", ok=False, found="chrony isn't running", wanted=wanted)
    if (program := shutil.which("timedatectl")) is not None:
        said = (_run([program, "show", "--property=NTPSynchronized", "--value"]) or "").strip()
        return Check("interfaces", "time service", said == "yes", f"systemd: synchronised {said or 'unknown'}", wanted)
    return Check("interfaces", "time service", ok=False, found="none is installed", wanted=wanted)


def ntp_offset(address: str) -> tuple[float, float]:
    """Offset of the clock from a time server's, and the error of that (±), in seconds, by SNTP (RFC 4330).

    Raises
    ------
    OSError, ValueError
        When it doesn't answer, or says that it isn't synchronised itself.
    """
    # An address of IPv6 has colons of its own: [2001:db8::1]:123, or without a port as it is.
    parts = urlsplit(f"//[{address}]" if address.count(":") > 1 and "]" not in address else f"//{address}")
    family, kind, protocol, _, place = socket.getaddrinfo(
        parts.hostname, parts.port or _NTP_PORT, type=socket.SOCK_DGRAM
    )[0]
    with socket.socket(family, kind, protocol) as asking:
        asking.settimeout(_WITHIN_S)
        asking.connect(place)
        began, begin = time.time(), time.monotonic()
        asking.send(b"\x23" + bytes(47))
        answer = asking.recv(512)
        took = time.monotonic() - begin
    if len(answer) < 48 or answer[0] & 7 != 4 or answer[0] >> 6 == 3 or answer[1] == 0:
        raise ValueError("the time server isn't synchronised")
    received, sent = (
        seconds - _NTP_EPOCH + fraction / 2**32
        for seconds, fraction in struct.iter_unpack(">II", answer[32:48])
    )  # fmt: skip
    offset = ((began - received) + (began + took - sent)) / 2
    return offset, max(0.0, took - (sent - received)) / 2


def _run(command: list[str]) -> str | None:
    try:
        done = subprocess.run(
            # Their words are looked for: in English, whatever the machine speaks.
            command, capture_output=True, text=True, check=False, timeout=_WITHIN_S, env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
