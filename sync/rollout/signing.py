"""Signs the report of a site's acceptance and proves it, by Ed25519 (RFC 8032); pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sync.rollout.errors import RolloutError


@dataclass(frozen=True, slots=True)
class Signed:
    """A text with who signed it.

    Attributes
    ----------
    text
        As it was signed; not a character of it may change.
    signature
        Of its UTF-8, base64.
    key_id
        SHA-256 of the public key's 32 bytes, hexadecimal; only a hint which key proves it.
    """

    text: str
    signature: str
    key_id: str


def sign(text: str, private_key_pem: bytes) -> Signed:
    """Sign a text.

    Raises
    ------
    RolloutError
        When the key isn't an Ed25519 private key without a pass phrase.
    """
    try:
        key = serialization.load_pem_private_key(private_key_pem, password=None)
    except (ValueError, TypeError) as error:
        raise RolloutError(f"the key can't be used: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise RolloutError("the key isn't one of Ed25519: openssl genpkey -algorithm ed25519 -out site.pem")
    signature = base64.b64encode(key.sign(text.encode())).decode()
    return Signed(text, signature, key_id_of(key.public_key()))


def prove(signed: Signed, public_key_pem: bytes) -> str:
    """Prove that a text was signed by the holder of a key; returns the key's id.

    Raises
    ------
    RolloutError
        When it was not, or the key can't be used.
    """
    try:
        key = serialization.load_pem_public_key(public_key_pem)
    except ValueError as error:
        raise RolloutError(f"the public key can't be used: {error}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise RolloutError("the public key isn't one of Ed25519")
    try:
        key.verify(base64.b64decode(signed.signature, validate=True), signed.text.encode())
    except (InvalidSignature, binascii.Error):
        raise RolloutError("the signature isn't that of this key over this report") from None
    return key_id_of(key)


def key_id_of(key: Ed25519PublicKey) -> str:
    """Short name of a key."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()
