"""End-to-end encryption of events, steps and outputs: whoever holds the database or a server reads none of them.

The format is that of the official package ``inngest_encryption`` and of ``@inngest/middleware-encryption``, so apps on
any of them read each other's data if they have the same key. It takes PyNaCl: ``inngest-celery[encryption]``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from inngest_celery.opcodes import Opcode
from inngest_celery.sdk import jsonable
from inngest_celery.sdk.client import Inngest
from inngest_celery.sdk.context import Context, ContextSync
from inngest_celery.sdk.errors import CodedError, ErrorCode
from inngest_celery.sdk.event import Event
from inngest_celery.sdk.function import Function
from inngest_celery.sdk.memos import StepMemos
from inngest_celery.sdk.middleware import MiddlewareSync, TransformOutputResult
from inngest_celery.sdk.types import JSON

try:
    from nacl.encoding import Base64Encoder, HexEncoder
    from nacl.exceptions import CryptoError
    from nacl.hash import generichash
    from nacl.secret import SecretBox
except ImportError as error:
    raise ImportError(
        "inngest_celery.encryption takes PyNaCl, which is not installed. Install inngest-celery[encryption]."
    ) from error

__all__ = ["EncryptionMiddleware"]

_MARKER = "__ENCRYPTED__"
_STRATEGY = "__STRATEGY__"
_LIBSODIUM = "inngest/libsodium"
_FIELD = "encrypted"
# Events that carry the events of another run with them.
_LIFECYCLE = "inngest/function."


class EncryptionMiddleware(MiddlewareSync):
    """Encrypts with libsodium's secret box what leaves a function, and decrypts what comes into it.

    Encrypted are one field of each event's data (of those that are sent and those that functions are invoked with),
    what each step gives, and what the function gives. Not encrypted are names, ids and times, an event's other fields,
    which expressions may go on reading, what a signal carries, and the text of errors.

    What is not encrypted is read as it is, so that it can be switched on while runs are under way.

    Args:
        client: the client.
        raw_request: what came in.
        secret_key: encrypts, and decrypts. A str of any length, or 64 bytes that spell a key of 32 in hexadecimal.
        decrypt_only: read what others have encrypted, but encrypt nothing; for the time until all of them can read it.
        event_encryption_field: the field of events' data.
        fallback_decryption_keys: more keys to decrypt with, such as those from before a change of the key.

    Raises:
        CodedError: a key cannot be used (code ``encryption_key_invalid``), or, while a function runs, something is
            encrypted under a key that is not given (``encryption_key_unknown``).

    Example:
        >>> from inngest_celery import Inngest
        >>> client = Inngest(app_id="shop", middleware=[EncryptionMiddleware.factory("a long secret")])

    Mirrors https://www.inngest.com/docs/features/middleware/encryption-middleware
    """

    def __init__(
        self,
        client: Inngest,
        raw_request: object,
        secret_key: bytes | str,
        *,
        decrypt_only: bool = False,
        event_encryption_field: str = _FIELD,
        fallback_decryption_keys: list[bytes | str] | None = None,
    ) -> None:
        boxes = [_box(key) for key in (secret_key, *(fallback_decryption_keys or ()))]
        self._take(boxes, decrypt_only, event_encryption_field)
        super().__init__(client, raw_request)

    @classmethod
    def factory(
        cls,
        secret_key: bytes | str,
        *,
        decrypt_only: bool = False,
        event_encryption_field: str = _FIELD,
        fallback_decryption_keys: list[bytes | str] | None = None,
    ) -> Callable[[Inngest, object], EncryptionMiddleware]:
        """Give what ``Inngest(middleware=[...])`` and ``create_function(middleware=[...])`` take.

        Args:
            secret_key, decrypt_only, event_encryption_field, fallback_decryption_keys: as of the class.

        Raises:
            CodedError: a key cannot be used (code ``encryption_key_invalid``).
        """
        # Now, so that a key that cannot be used is found at the start; and once, as each execution makes an instance.
        boxes = [_box(key) for key in (secret_key, *(fallback_decryption_keys or ()))]

        def make(client: Inngest, raw_request: object) -> EncryptionMiddleware:
            made = cls.__new__(cls)
            MiddlewareSync.__init__(made, client, raw_request)
            made._take(boxes, decrypt_only, event_encryption_field)
            return made

        return make

    def _take(self, boxes: Sequence[SecretBox], decrypt_only: bool, field: str) -> None:
        self._boxes = boxes
        self._decrypt_only = decrypt_only
        self._field = field

    def before_send_events(self, events: list[Event]) -> None:
        """Encrypt the field of events that are sent."""
        if not self._decrypt_only:
            # The events themselves are the caller's.
            events[:] = [event.model_copy(update={"data": self._with_field_sealed(event.data)}) for event in events]

    def transform_input(self, ctx: Context | ContextSync, function: Function[Any], steps: StepMemos) -> None:
        """Decrypt what triggered the run, and what its steps gave."""
        for memo in steps.values():
            memo.data = self._open_memo(memo.data)
        # Without a batch the one event is both.
        for event in {id(event): event for event in (ctx.event, *ctx.events)}.values():
            event.data = self._open_event(event.name, event.data)

    def transform_output(self, result: TransformOutputResult) -> None:
        """Encrypt what a step or the function gave, and what another function is invoked with."""
        if self._decrypt_only:
            return
        if result.error is None and result.has_output():
            result.output = self._seal(result.output, None if result.step is None else result.step.id)
        if result.step is not None and result.step.op is Opcode.INVOKE and result.step.opts is not None:
            payload = result.step.opts.get("payload")
            if isinstance(payload, dict) and isinstance(payload.get("data"), dict):
                result.step.opts["payload"] = {**payload, "data": self._with_field_sealed(payload["data"])}

    def _with_field_sealed(self, data: Mapping[str, JSON]) -> Mapping[str, JSON]:
        # What is no JSON stays as it is: it is refused further on, with a message that says what it belongs to.
        if data.get(self._field) is None or jsonable.find_problem(data[self._field]):
            return data
        return {**data, self._field: self._seal(data[self._field], None)}

    def _seal(self, value: object, step_id: str | None) -> Any:
        if _is_sealed(value) and self._open_with_any(value) is not None:
            # Another instance of this middleware was here before.
            return value
        text = jsonable.encode_output(value, step_id)
        sealed = self._boxes[0].encrypt(text.encode(), encoder=Base64Encoder)
        return {_MARKER: True, _STRATEGY: _LIBSODIUM, "data": sealed.decode()}

    def _open(self, value: Any) -> Any:
        if not _is_sealed(value):
            return value
        text = self._open_with_any(value)
        if text is None:
            raise CodedError(
                ErrorCode.ENCRYPTION_KEY_UNKNOWN,
                "something that this run reads was encrypted under another key than this process has, or was changed "
                "since. Give EncryptionMiddleware the key that it was encrypted under, as secret_key or among "
                "fallback_decryption_keys.",
            )
        return json.loads(text)

    def _open_with_any(self, value: Any) -> bytes | None:
        for box in self._boxes:
            try:
                return box.decrypt(value["data"].encode(), encoder=Base64Encoder)
            # Not its key, or no Base64 at all.
            except (CryptoError, ValueError):
                continue
        return None

    def _open_memo(self, memo: Any) -> Any:
        if not _is_sealed(memo) and _is_event(memo):
            # What a step has waited for.
            return {**memo, "data": self._open_event(memo["name"], memo["data"])}
        return self._open(memo)

    def _open_event(self, name: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        if _is_sealed(data):
            # Senders in other languages encrypt all of it; what a server adds to it stands beside.
            beside = {key: value for key, value in data.items() if key not in (_MARKER, _STRATEGY, "data")}
            return {**beside, **self._open(data)}
        # One field is encrypted; that is another one than ours if the sender was told so.
        keys = sorted(data, key=lambda key: key != self._field)
        sealed = next((key for key in keys if _is_sealed(data[key])), None)
        if sealed is not None:
            data = {**data, sealed: self._open(data[sealed])}
        if name.startswith(_LIFECYCLE):
            data = {key: self._open_carried(value) for key, value in data.items()}
        return data

    def _open_carried(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._open_carried(each) for each in value]
        return {**value, "data": self._open_event(value["name"], value["data"])} if _is_event(value) else value


def _box(key: bytes | str) -> SecretBox:
    try:
        if isinstance(key, str) and key:
            return SecretBox(generichash(key.encode(), digest_size=SecretBox.KEY_SIZE), encoder=HexEncoder)
        if isinstance(key, bytes):
            return SecretBox(key, encoder=HexEncoder)
    except ValueError:
        # It says what was wrong with the key, and with that what the key is: not for a log.
        pass
    raise CodedError(
        ErrorCode.ENCRYPTION_KEY_INVALID,
        "a key of EncryptionMiddleware is a str that is not empty, or bytes: 64 hexadecimal digits, such as "
        "secrets.token_hex(32).encode() gives",
        is_retriable=False,
    )


def _is_sealed(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.get(_MARKER) is True
        and value.get(_STRATEGY) == _LIBSODIUM
        and isinstance(value.get("data"), str)
    )


def _is_event(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("name"), str) and isinstance(value.get("data"), dict)
