"""Smoke: the package imports, knows its version, and finds its neighbour."""

import os
import subprocess
import sys
from pathlib import Path

import robyn_server


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
