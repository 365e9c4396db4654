"""Which of Apprise's services may be called where private addresses aren't allowed."""

from __future__ import annotations

import apprise
import pytest

from meterline.channels import refusal


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("dingtalk://12345678/", None),
        ("tgram://123456789:abcdefg_hijklmnop/12315544/", None),
        ("json://8.8.8.8/hook", None),
        ("mailto://8.8.8.8?from=m@example.org&to=li@example.org", None),
        ("json://127.0.0.1:9/hook", "127.0.0.1 is not a public address"),
        ("jsons://10.1.2.3/hook", "10.1.2.3 is not a public address"),
        ("xml://[::1]/hook", "::1 is not a public address"),
        ("MAILTO://192.168.1.1?from=m@example.org&to=li@example.org", "192.168.1.1 is not a public address"),
        ("mailto://8.8.8.8?from=m@example.org&to=li@example.org&smtp=10.0.0.1", "10.0.0.1 is not a public address"),
        ("gotify://127.0.0.1/token", "127.0.0.1 is not a public address"),
        ("ntfy://8.8.8.8/topic", "it can't be told whether ntfy is at a public address"),
    ],
)
def test_refusal(address: str, reason: str | None) -> None:
    service = apprise.Apprise.instantiate(address)
    assert service is not None
    assert refusal(address, service) == reason
