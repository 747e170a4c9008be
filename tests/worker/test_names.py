"""Names of tasks are few, whatever is in the ids of steps."""

from __future__ import annotations

import pytest

from inngest_celery.worker.names import MOST, step_name


@pytest.mark.parametrize(
    ("step", "shown"),
    [
        ("create-account", "create-account"),
        ("upload to s3 [2/3]", "upload to s3 [2/3]"),
        ("oauth2", "oauth2"),
        ("page-3", "page-3"),
        ("page-31", "page-…"),
        ("charge-8213", "charge-…"),
        ("charge-6f1c2b34-8d0e-4f7a-9a51-0c3d5e7f9b11", "charge-…"),
        ("charge:cus_9s6XKzkNRiz8i3:usd", "charge:cus_…:usd"),
        ("run-01JD8Z5Q9W3V4X7Y2B6C8D0E1F", "run-…"),
        ("mail ada.lovelace@example.com", "mail …"),
        ("Überweisung", "Überweisung"),
    ],
)
def test_ids_are_left_out(step: str, shown: str) -> None:
    assert step_name("shop/names", step) == f"shop/names · {shown}"


def test_a_function_has_so_many_names_at_most() -> None:
    words = ["".join("abcdefghij"[int(digit)] for digit in str(number)) for number in range(1000)]
    names = {step_name("shop/words", word) for word in words}
    assert len(names) == MOST + 1
    assert "shop/words · …" in names
    # Those that were there first keep theirs.
    assert step_name("shop/words", words[0]) == f"shop/words · {words[0]}"
