"""States as JSON: writing never fails, and keeps what JSON can hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from robyn_server.graphs.checkpoints.serialization import dumps


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"n": 10**30}, {"n": 10**30}),
        ([-(10**4000)], [-(10**4000)]),
        ([10**5000], [hex(10**5000)]),
        ({10**30: 1}, {hex(10**30): 1}),
        ({"a": [float("nan"), 2**64]}, {"a": [None, 2**64]}),
        (["\ud83d", 2**64], ["?", 2**64]),
    ],
    ids=["large", "long", "longer", "key", "nan", "surrogate"],
)
def test_a_value_without_a_form_in_orjson_is_written(value: Any, written: Any) -> None:
    assert json.loads(dumps(value)) == written
