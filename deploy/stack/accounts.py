"""Secrets of one stack and the broker's accounts. A secret is made once and kept in a file of its own."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
from collections.abc import Iterable
from typing import Final

from deploy.stack.errors import StackError
from deploy.stack.spec import StackSpec, write_atomically

SERVICE_SECRETS: Final = ("mqtt-bridge", "db-superuser", "db-owner", "db-app", "db-board", "db-revenue")
BRIDGE_ACCOUNT: Final = "bridge"
#: Shown by whoever acts on alerts in the console of this stack; the console itself knows its hash.
CONSOLE_TOKEN: Final = "console-token"  # noqa: S105 - a file's name
TOKENS_FILE: Final = "console-tokens.toml"
# The account's name stands in topics (%u in the access list), so it holds nothing that a topic or a path would read.
ACCOUNT_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")
# Mosquitto's own default. A secret has 256 random bits: stretching it would guard nothing and slow 2,000 reconnects.
PBKDF2_ROUNDS: Final = 101


def ensure_secret(spec: StackSpec, name: str) -> str:
    """The secret of that name, made if there is none."""
    path = spec.secret_path(name)
    for directory in (spec.secrets_dir, path.parent):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        secret = secrets.token_urlsafe(32)
        write_atomically(path, secret + "\n", mode=0o600)
        return secret
    except PermissionError:
        raise StackError(f"{path} belongs to another user: start the stack as the user who made it") from None


def ensure_secrets(spec: StackSpec) -> dict[str, str]:
    """All secrets of the services, by name."""
    (spec.secrets_dir / "gateways").mkdir(mode=0o700, parents=True, exist_ok=True)
    spec.secrets_dir.chmod(0o700)
    return {name: ensure_secret(spec, name) for name in SERVICE_SECRETS}


def write_token_file(spec: StackSpec) -> None:
    """Bring the console's file of tokens up to date: one token of this stack's own, which may act on all alerts."""
    text = tokens_toml(ensure_secret(spec, CONSOLE_TOKEN))
    write_atomically(spec.secret_path(TOKENS_FILE), text, mode=0o600)


def tokens_toml(token: str) -> str:
    """A file of tokens as `console.tokens_file` names one, with the hash of one token."""
    digest = hashlib.sha256(token.encode()).hexdigest()
    return (
        f'# Written by Meterline at each start.\n[[tokens]]\nname = "local"\nsha256 = "{digest}"\nroles = ["admin"]\n'
    )


def password_entry(name: str, password: str, salt: bytes) -> str:
    """A line of Mosquitto's password file: PBKDF2 with SHA-512, form `$7$`."""
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, PBKDF2_ROUNDS)
    return f"{name}:$7${PBKDF2_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def parse_password_file(text: str) -> dict[str, str]:
    """Lines of a password file by account."""
    return {line.split(":", 1)[0]: line for line in text.splitlines() if ":" in line}


def write_password_file(spec: StackSpec, gateways: Iterable[str] = ()) -> bool:
    """Bring Mosquitto's password file up to date: the bridge, the gateways that have secrets, and `gateways` besides.

    Returns
    -------
    bool
        Whether the file changed, so that the broker must read it again.

    Raises
    ------
    StackError
        A gateway's name could not stand in a topic.
    """
    wanted = sorted(set(gateways))
    for name in wanted:
        if not ACCOUNT_NAME.fullmatch(name) or name.startswith(".") or name == BRIDGE_ACCOUNT:
            raise StackError(f"{name!r} cannot be a gateway's account: 1 to 128 of A–Z a–z 0–9 _ . - and not 'bridge'")
        ensure_secret(spec, f"gateways/{name}")
    path = spec.home / "mosquitto" / "passwords"
    old = parse_password_file(path.read_text()) if path.is_file() else {}
    known = sorted(p.name for p in (spec.secrets_dir / "gateways").iterdir() if ACCOUNT_NAME.fullmatch(p.name))
    accounts = [(BRIDGE_ACCOUNT, "mqtt-bridge"), *((name, f"gateways/{name}") for name in known)]
    lines = [_entry(name, ensure_secret(spec, secret), old.get(name)) for name, secret in accounts]
    text = "".join(line + "\n" for line in lines)
    if path.is_file() and path.read_text() == text:
        return False
    write_atomically(path, text, mode=0o600)
    return True


def _entry(name: str, password: str, old: str | None) -> str:
    # The old salt is kept while the password is the same: a broker that reads an unchanged entry keeps its clients.
    if old:
        try:
            salt = base64.b64decode(old.split("$")[3])
        except (IndexError, ValueError):
            salt = os.urandom(12)
        if password_entry(name, password, salt) == old:
            return old
    return password_entry(name, password, os.urandom(12))
