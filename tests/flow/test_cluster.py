"""All that is noted of one tag is on one node of a cluster, whatever the tag is called."""

from __future__ import annotations

import json

import pytest
from redis.crc import key_slot

from inngest_celery.flow.gate import Gate
from inngest_celery.flow.places import place_of
from tests.flow.world import START


@pytest.mark.brokers("cluster")
@pytest.mark.parametrize("tag", ["shop-pay", "a}b{c", "{}", "*", "ü ö/ä:x"])
def test_a_tag_has_one_slot(gate: Gate, tag: str) -> None:
    resource, limits = (
        f"{tag}:limit",
        {"concurrency.0": {"limit": 1}, "throttle": {"limit": 2, "period": 1, "burst": 0}},
    )
    flow = {"tag": tag, "score": 0, "steps": [["concurrency.0", resource]], "starts": [["throttle", resource]]}
    places = [place_of(run, "step", "f", json.dumps(flow), starts=True) for run in ("one", "two")]
    gate.do(tag, START, [["describe", "f", json.dumps(limits)], ["alive"]], restoring=True)
    answer = gate.do(tag, START, [["enter", each.job, each.line, 0, False] for each in places])
    assert answer.called == ["one/step"]
    gate.do(tag, START, [["begin", places[0].job, places[0].line, 0, "worker", 1000]])
    names = [name for name in gate.client.scan_iter() if name.startswith(f"{gate.stem(tag)}:".encode())]
    assert len(names) >= 10
    assert len({key_slot(name) for name in names}) == 1
    assert gate.due(START + 1000) is None
    gate.mark()
    assert gate.due(START + 1000) == ([tag], None)
