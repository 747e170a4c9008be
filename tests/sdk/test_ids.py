"""Identifiers."""

from __future__ import annotations

import base64
import concurrent.futures
import os

import pytest

from inngest_celery import ids

NOW = 1_700_000_000_123


def test_new_ids_of_one_millisecond_rise_in_every_thread() -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        batches = list(threads.map(lambda _: [ids.new(NOW) for _ in range(500)], range(8)))
    assert all(batch == sorted(batch) for batch in batches)
    assert len({made for batch in batches for made in batch}) == 4000


def test_new_ids_hold_their_time() -> None:
    assert ids.time_of(ids.new(NOW)) == NOW
    assert ids.new(NOW) < ids.new(NOW + 1)


def test_a_clock_that_goes_back_is_followed() -> None:
    ids.new(NOW)
    assert ids.time_of(ids.new(NOW - 5000)) == NOW - 5000


def test_a_forked_child_does_not_count_on_where_its_parent_does() -> None:
    ids.new(NOW)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, ids.new(NOW).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 26).decode()[10:22] != ids.new(NOW)[10:22]


@pytest.mark.parametrize("moment", [-1, 1 << 48])
def test_times_that_no_ulid_holds(moment: int) -> None:
    with pytest.raises(ValueError, match="a ULID holds"):
        ids.new(moment)


def test_seeds_count_in_the_last_four_bytes_from_one() -> None:
    seed = f"{NOW},{base64.b64encode(bytes(range(10))).decode()}"
    first, second = ids.from_seed(seed, 0), ids.from_seed(seed, 1)
    assert first is not None
    assert second is not None
    assert first != second
    assert ids.from_seed(seed, 0) == first
    assert ids.time_of(first) == NOW
    assert first[:20] == second[:20]


def test_seeds_wrap_around() -> None:
    last = base64.b64encode(bytes(6) + bytes([255] * 4)).decode()
    assert ids.from_seed(f"0,{last}", 0) == "0" * 26


@pytest.mark.parametrize(
    "header", ["", "1700", "x,AAAAAAAAAAAAAA==", "1,AAAA", "1,???", "-1,AAAAAAAAAAAAAA==", "1," + "A" * 64]
)
def test_malformed_seeds(header: str) -> None:
    assert ids.from_seed(header, 0) is None


def test_derived_ids_depend_on_every_part_and_its_bounds() -> None:
    made = {
        ids.derived(NOW, *parts) for parts in [("a", "b"), ("ab",), ("a", "b", ""), ("b", "a"), ("a", "b", "0"), ()]
    }
    assert len(made) == 6
    assert ids.derived(NOW, "a", "b") in made
    assert ids.derived(NOW + 1, "a", "b") not in made


def test_step_ids() -> None:
    assert ids.hash_step_id("my-step-id") == "e7d8a2f140845095749d60246ff1110c9d01d76a"
    assert ids.hash_step_id("my-step-id", 1) == ids.hash_step_id("my-step-id:1")
