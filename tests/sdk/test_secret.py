"""A secret: it does not show, it is sealed where JSON is made, and models know it."""

from __future__ import annotations

import base64
import copy
import json
import pickle
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

import inngest_celery as inngest
from inngest_celery.masking import sealed
from inngest_celery.masking.sealed import MARKER, SecretKeys
from inngest_celery.sdk.jsonable import encode, encode_output
from inngest_celery.sdk.secret import read_json

OLD, NEW = b"o" * 32, b"n" * 32


class Card(BaseModel):
    holder: str
    number: inngest.Secret[str]
    codes: list[inngest.Secret[int]] = []


def test_it_does_not_show() -> None:
    secret = inngest.Secret("hush")
    assert "hush" not in f"{secret} {secret!r} {[secret]} {secret:}"
    assert secret.get_secret_value() == "hush"
    assert secret == inngest.Secret("hush") != inngest.Secret("hash")
    assert copy.deepcopy([secret]) == [secret]
    with pytest.raises(TypeError, match="is not pickled"):
        pickle.dumps(secret)


def test_json_holds_it_sealed_and_gives_it_back() -> None:
    value = {"a": [inngest.Secret({"n": 1}), 2], "b": inngest.Secret("hüsh")}
    with sealed.used(lambda: SecretKeys((NEW,))):
        text = encode_output(value)
        assert "hüsh" not in text
        assert encode(value) != text, "the same value looks the same twice"
        assert read_json(text) == value
    assert json.loads(text)["b"].keys() == {MARKER}


def test_keys_rotate() -> None:
    with sealed.used(lambda: SecretKeys((OLD,))):
        text = encode([inngest.Secret(7)])
    with sealed.used(lambda: SecretKeys((NEW, OLD))):
        assert read_json(text) == [inngest.Secret(7)]
    with sealed.used(lambda: SecretKeys((NEW,))), pytest.raises(inngest.SecretError) as refused:
        read_json(text)
    assert refused.value.code == "secret_unreadable"


@pytest.mark.parametrize("broken", ["", "AAAA", "é", 7, None])
def test_what_was_altered_is_not_opened(broken: object) -> None:
    with sealed.used(lambda: SecretKeys((NEW,))), pytest.raises(inngest.SecretError, match="inngest_secret_key"):
        read_json(json.dumps([{MARKER: broken}]))


def test_without_a_key_nothing_is_stored() -> None:
    with pytest.raises(inngest.SecretError, match="openssl rand") as refused:
        encode_output({"a": inngest.Secret("hush")})
    assert refused.value.code == "secret_key_missing"
    assert "hush" not in str(refused.value)


def test_what_json_cannot_hold_is_told_without_the_value() -> None:
    value: Any = {"a": inngest.Secret({1, 2}), "b": {3}}
    with (
        sealed.used(lambda: SecretKeys((NEW,))),
        pytest.raises(inngest.OutputUnserializableError, match=r"a set at \$\.") as refused,
    ):
        encode_output(value)
    assert "{3}" not in str(refused.value)


def test_models() -> None:
    card = Card(holder="Ada", number="4242", codes=[1])  # type: ignore[arg-type,list-item]
    assert "4242" not in repr(card)
    serializer = inngest.PydanticSerializer()
    with sealed.used(lambda: SecretKeys((NEW,))):
        data: Any = serializer.serialize(card, Card)
        assert data["number"].keys() == {MARKER}
        assert serializer.deserialize(data, Card) == card
        assert serializer.deserialize(read_json(json.dumps(data)), Card) == card
        # In one that is a model's itself.
        secret: Any = serializer.serialize(inngest.Secret(card), inngest.Secret[Card])
        assert serializer.deserialize(secret, inngest.Secret[Card]) == inngest.Secret(card)
        assert read_json(encode([inngest.Secret(b"x".decode())])) == [inngest.Secret("x")]
    with pytest.raises(ValidationError, match="valid integer"):
        Card(holder="Ada", number=inngest.Secret("x"), codes=["no"])  # type: ignore[list-item]


def test_events_take_it() -> None:
    assert inngest.Event(name="a", data={"card": inngest.Secret("4242")}).data["card"] == inngest.Secret("4242")
    with pytest.raises(inngest.EventInvalidError):
        inngest.Event(name="a", data={"card": {1, 2}})  # type: ignore[dict-item]


def test_keys_are_read_in_hexadecimal_and_base64() -> None:
    texts = (NEW.hex(), base64.b64encode(NEW).decode(), base64.urlsafe_b64encode(b"\xff" * 32).decode())
    assert sealed.read_keys(", ".join(texts)) == [NEW, NEW, b"\xff" * 32]
