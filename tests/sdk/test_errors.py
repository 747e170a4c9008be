"""Errors keep their facts, in the process and across processes."""

from __future__ import annotations

import datetime
import pickle

import pytest

import inngest_celery as inngest
from inngest_celery.sdk.errors import Suspended, error_object
from inngest_celery.sdk.stack import user_stack

EVERY_KIND = [
    inngest.NonRetriableError("no"),
    inngest.RetryAfterError("later", 1000),
    inngest.StepError("no", "PaymentError", "stack"),
    inngest.RunSkippedError("no", "singleton"),
    inngest.SendEventsError("half", ["a"]),
    inngest.StepInvalidError("no", code="timeout_too_long"),
    inngest.StepIdCollisionError("x:1"),
    inngest.StepNestedError("inner", "outer"),
    inngest.SuspensionSwallowedError("x"),
    inngest.FunctionConfigInvalidError("no", code="combo_unsupported", path="cancel"),
    inngest.EventInvalidError("no", index=3, field="data"),
    inngest.CodedError("code", "no", is_retriable=False),
]


@pytest.mark.parametrize("error", EVERY_KIND, ids=lambda error: type(error).__name__)
def test_errors_can_be_sent_to_another_process(error: inngest.Error) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  our own bytes
    assert type(copy) is type(error)
    assert (str(copy), copy.code, copy.is_retriable, copy.name) == (
        str(error),
        error.code,
        error.is_retriable,
        error.name,
    )
    assert vars(copy) == vars(error)


def test_retry_after_takes_milliseconds_a_timedelta_and_an_instant() -> None:
    before = datetime.datetime.now(datetime.UTC)
    by_number = inngest.RetryAfterError("x", 60_000).retry_after
    by_delta = inngest.RetryAfterError("x", datetime.timedelta(minutes=1)).retry_after
    after = datetime.datetime.now(datetime.UTC)
    for instant in (by_number, by_delta):
        assert before <= instant - datetime.timedelta(minutes=1) <= after
    noon = datetime.datetime(2026, 1, 2, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
    assert inngest.RetryAfterError("x", noon).retry_after.isoformat() == "2026-01-02T10:00:00+00:00"
    local = datetime.datetime(2026, 1, 2, 12)
    assert inngest.RetryAfterError("x", local).retry_after == local.astimezone(datetime.UTC)


def test_a_suspension_is_not_an_exception() -> None:
    assert issubclass(Suspended, BaseException)
    assert not issubclass(Suspended, Exception)


def test_the_stored_form_of_a_users_error() -> None:
    class PaymentError(Exception):
        code = "e3q8"  # a user's own attribute is not a code of ours
        name = "something else"

    try:
        raise PaymentError("declined")
    except PaymentError as error:
        stored = error_object(error)
    assert stored["code"] == "unknown"
    assert stored["name"] == "PaymentError"
    assert stored["message"] == "declined"
    assert str(stored["stack"]).startswith("Traceback (most recent call last):\n")


def test_the_stored_form_of_ours() -> None:
    assert error_object(inngest.StepError("declined", "PaymentError", "its stack")) == {
        "code": "step_errored",
        "message": "declined",
        "name": "PaymentError",
        "stack": "its stack",
    }
    assert error_object(inngest.StepUnexpectedError("other"))["stack"] is None


def test_a_subclass_keeps_its_name_and_the_code() -> None:
    class NoSuchCustomer(inngest.NonRetriableError):
        pass

    stored = error_object(NoSuchCustomer("7"))
    assert (stored["name"], stored["code"]) == ("NoSuchCustomer", "non_retriable_error")


def test_stacks_show_the_users_frames_and_not_ours(client: inngest.Inngest) -> None:
    with pytest.raises(inngest.FunctionConfigInvalidError) as caught:
        client.create_function(fn_id="", trigger=inngest.TriggerEvent(event="e"))(lambda ctx: None)
    stack = user_stack(caught.value)
    assert "test_errors.py" in stack
    assert "inngest_celery/sdk" not in stack


def test_stacks_of_causes_and_groups_are_cleaned_too() -> None:
    with pytest.raises(inngest.Error) as ours:
        inngest.Inngest(app_id="")
    with pytest.raises(ExceptionGroup) as group:
        raise ExceptionGroup("several", [ours.value]) from ours.value
    assert "give the app an id" in user_stack(group.value)
    assert "inngest_celery/sdk" not in user_stack(group.value)


def test_a_collision_says_what_to_do() -> None:
    assert "another id" in str(inngest.StepIdCollisionError("x:1"))
    assert 'Catch "Exception" or "StepError"' in str(inngest.SuspensionSwallowedError("x"))
    assert "in the function itself" in str(inngest.StepNestedError("a", "b"))
