"""Receipts of erasures, signed with Ed25519: whoever has the public key can tell that nobody has changed one."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

import jcs

from inngest_celery.settings import Settings, SettingsError

_PREFIX = "inngest-receipt-"
_BYTES = 32


class ReceiptError(ValueError):
    """A receipt is not what it says. ``code`` says why.

    ``receipt_unreadable``: it is no receipt. ``receipt_tampered``: its signature is not that of what it says.
    ``receipt_unknown_key``: somebody else has signed it.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def new_key() -> tuple[str, str]:
    """Give a new key, as it is set, and the public key that belongs to it.

    Raises:
        SettingsError: ``cryptography`` is not installed (code ``receipt_unavailable``).
    """
    private = _ed25519().Ed25519PrivateKey.generate()
    text = _PREFIX + base64.b64encode(private.private_bytes_raw()).decode()
    return text, _public(private)


def public_key(settings: Settings) -> str:
    """Give the public key of the one that is set.

    Raises:
        SettingsError: none is set, or it is no key.
    """
    return _public(_private(settings))


def sign(settings: Settings, body: dict[str, Any]) -> dict[str, object]:
    """Give a receipt with its signature.

    Raises:
        SettingsError: no key is set (code ``receipt_key_missing``), or it is no key.
    """
    private = _private(settings)
    signature = private.sign(jcs.canonicalize(body))
    return {
        "receipt": body,
        "algorithm": "Ed25519",
        "public_key": _public(private),
        "signature": base64.b64encode(signature).decode(),
    }


def verify(text: str, trusted: str) -> dict[str, Any]:
    """Give what a receipt says, if it is signed with a key that is trusted, and as it was signed.

    Args:
        text: the receipt.
        trusted: the public key.

    Raises:
        ReceiptError: it is not.

    Example: ``verify(Path("receipt.json").read_text(), public_key(settings))["rows"]``
    """
    try:
        read = json.loads(text)
        body, signed_by, signature = read["receipt"], read["public_key"], base64.b64decode(read["signature"])
        key = _ed25519().Ed25519PublicKey.from_public_bytes(base64.b64decode(trusted, validate=True))
        content = jcs.canonicalize(body)
    except (ValueError, TypeError, KeyError, binascii.Error) as error:
        raise ReceiptError("receipt_unreadable", f"This is no receipt, or the key is none: {error}") from error
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, content)
    except InvalidSignature as error:
        if signed_by != trusted:
            told = "It is signed with another key than the one that is trusted here. Is it that of another deployment?"
            raise ReceiptError("receipt_unknown_key", told) from error
        raise ReceiptError("receipt_tampered", "It does not say what was signed: it was changed since.") from error
    return dict(body)


def _private(settings: Settings) -> Any:
    if not settings.receipt_key:
        raise SettingsError(
            "Receipts are signed, and there is no key: set inngest_receipt_key to what `inngest-celery receipt key` "
            "prints.",
            code="receipt_key_missing",
        )
    try:
        raw = base64.b64decode(settings.receipt_key.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) != _BYTES:
        raise SettingsError("inngest_receipt_key is no key: `inngest-celery receipt key` prints one.")
    return _ed25519().Ed25519PrivateKey.from_private_bytes(raw)


def _public(private: Any) -> str:
    return base64.b64encode(private.public_key().public_bytes_raw()).decode()


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise SettingsError(
            "Signatures need the package cryptography: pip install 'inngest-celery[encryption]'.",
            code="receipt_unavailable",
        ) from error
    return ed25519
