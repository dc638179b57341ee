"""The diagram of the architecture page shows the layers of the import contracts."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FULL_NAMES = {
    "type": "layers",
    "layers": ["robyn_server.cli", "robyn_server.web | robyn_server.worker", "robyn_server.core"],
}
CONTAINER = {"type": "layers", "containers": ["robyn_server"], "layers": ["cli", "web : worker", "(core)"]}
INSIDE = {"type": "layers", "containers": ["robyn_server.web"], "layers": ["robyn", "routes | schemas", "edge"]}


@pytest.fixture
def diagrams(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "docs"))
    return importlib.import_module("diagrams")


def use(monkeypatch: pytest.MonkeyPatch, diagrams: ModuleType, *contracts: dict[str, Any]) -> None:
    monkeypatch.setattr(diagrams, "_contracts", lambda _kind: list(contracts))


@pytest.mark.parametrize("contract", [FULL_NAMES, CONTAINER], ids=["full names", "container"])
def test_each_layer_is_a_box_above_the_next(
    monkeypatch: pytest.MonkeyPatch, diagrams: ModuleType, contract: dict[str, Any]
) -> None:
    use(monkeypatch, diagrams, INSIDE, contract)
    drawn = [line.strip() for line in diagrams.layers().splitlines()]
    assert [line for line in drawn if line.startswith("package_")] == [
        'package_cli["cli"]',
        'package_web["web"]',
        'package_worker["worker"]',
        'package_core["core"]',
    ]
    assert [line for line in drawn if "-->" in line] == ["layer0 --> layer1", "layer1 --> layer2"]
    assert [line.split("`")[1] for line in diagrams.packages().splitlines()[2:]] == ["cli", "web", "worker", "core"]


def test_a_package_without_a_description_is_an_error(monkeypatch: pytest.MonkeyPatch, diagrams: ModuleType) -> None:
    use(monkeypatch, diagrams, CONTAINER | {"layers": ["cli", "unheard_of"]})
    with pytest.raises(KeyError, match="unheard_of"):
        diagrams.packages()


def test_the_order_inside_a_package_is_listed(monkeypatch: pytest.MonkeyPatch, diagrams: ModuleType) -> None:
    use(monkeypatch, diagrams, CONTAINER, INSIDE)
    assert diagrams.inside().splitlines()[2:] == ["| `web` | `robyn` → `routes`, `schemas` → `edge` |"]
