"""Smoke: the package imports, knows its version, and finds its neighbour."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import robyn_server

ROOT = Path(__file__).parents[1]


def test_the_package_has_a_version() -> None:
    assert robyn_server.__version__


def test_a_file_of_a_project_does_not_hide_a_package_of_ours(tmp_path: Path) -> None:
    (tmp_path / "tools_agent.py").write_text("raise RuntimeError('of the project')")
    code = "import robyn_server, tools_agent.limits; print(tools_agent.__file__)"
    paths = os.pathsep.join([str(tmp_path), str(Path(robyn_server.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()) == Path(robyn_server.__file__).parents[1] / "tools_agent" / "__init__.py"


def test_no_built_package_is_committed() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in listed if Path(name).suffix in {".whl", ".gz", ".tgz", ".zip", ".so"}] == []


def test_a_wheel_has_the_built_console_and_is_refused_without_one(tmp_path: Path) -> None:
    project = tmp_path / "project"
    for name in ("robyn_server", "tools_agent", "migrations", "demo", "scripts"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project / name)
    refused = _build_wheel(project, tmp_path)
    assert refused.returncode != 0
    assert "The console is not built, and the wheel needs it. Run `make console` first." in refused.stderr
    (project / "console" / "dist" / "assets").mkdir(parents=True)
    (project / "console" / "dist" / "index.html").write_text("<!doctype html>")
    (project / "console" / "dist" / "assets" / "index-1.js").write_text("1")
    built = _build_wheel(project, tmp_path)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"robyn_server/_files/console/{name}" for name in ("index.html", "assets/index-1.js")} <= set(names)


def _build_wheel(project: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
