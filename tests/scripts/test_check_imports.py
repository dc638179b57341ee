"""The check of import cycles, on packages made for it."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from scripts.check_imports import cycles, main, read_graph

_numbers = itertools.count()


def package(root: Path, monkeypatch: pytest.MonkeyPatch, **modules: str) -> str:
    """Write a new package and return its name, which PACKAGE stands for in a module."""
    name = f"package_of_cycles_{next(_numbers)}"
    (root / name).mkdir()
    for module, text in {"__init__": "", **modules}.items():
        (root / name / f"{module}.py").write_text(text.replace("PACKAGE", name))
    monkeypatch.syspath_prepend(str(root))
    return name


@pytest.mark.parametrize(
    "a",
    [
        "from . import b",
        "from PACKAGE.b import x",
        "import PACKAGE.b",
        "def f():\n    from .b import x",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .b import x",
    ],
    ids=["relative", "absolute", "module", "late", "typing-only"],
)
def test_every_kind_of_import_closes_a_cycle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], a: str
) -> None:
    name = package(tmp_path, monkeypatch, a=a, b="from .c import x", c="from .a import x")
    assert main(name) == 1
    assert capsys.readouterr().out == f"import cycle: {name}.a -> {name}.b -> {name}.c -> {name}.a\n"


def test_a_package_and_its_module_can_form_a_cycle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = package(tmp_path, monkeypatch, __init__="def f():\n    from .a import x", a="from PACKAGE import f")
    assert cycles(read_graph(name)) == [[name, f"{name}.a", name]]


def test_modules_that_import_one_way_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(package(tmp_path, monkeypatch, a="from . import b, c", b="from . import c", c="")) == 0


def test_each_cycle_of_a_knot_is_named_once() -> None:
    assert cycles({"a": {"b"}, "b": {"a", "c"}, "c": {"b"}, "d": {"a"}}) == [["a", "b", "a"], ["c", "b", "c"]]
