"""A forked `agenthall` is the process that a started one would be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from deadlines import DEADLINE
from servers.forked_process import ForkedProcess, _fork_server, run_agenthall, start_agenthall
from servers.processes import is_gone, wait_until

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only"),
]

_READS_OF_IMPORTS = """
import importlib, os, socket, sys, time, traceback, uuid
sys.path.insert(0, "{support}")
from servers.forked_process import MODULES

OURS = ("robyn_server", "tools_agent")
for name in MODULES:
    importlib.import_module(name)
for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
    del sys.modules[name]

def watch(owner, name):
    original = getattr(owner, name)
    def watched(*args, **kwargs):
        caller = sys._getframe(1).f_globals.get("__name__", "")
        if caller.partition(".")[0] in OURS:
            print(caller, name)
        return original(*args, **kwargs)
    setattr(owner, name, watched)

for owner, names in (
    (os, ("getpid", "getppid", "getenv", "getcwd", "urandom")), (socket, ("gethostname",)), (uuid, ("uuid4",)),
    (time, ("time", "monotonic")), (type(os.environ), ("__getitem__", "__contains__", "get")),
):
    for name in names:
        watch(owner, name)
for name in MODULES:
    if name.partition(".")[0] in OURS:
        importlib.import_module(name)
"""
_PROBE = """
import json, sys
def graph(): ...
print(json.dumps([sys.argv, sys.path]))
raise SystemExit(7)
"""


def _started(*arguments: str, env: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "robyn_server", *arguments]
    return subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [("--version",), ("keys", "create", "--nonsense"), ("web",), ("threads", "list")])
def test_output_and_exit_code_are_the_same(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    env = {**os.environ, "AGENTHALL_PORT": "none", "AGENTHALL_URL": "http://127.0.0.1:1"}
    forked, started = (run(*arguments, env=env, cwd=tmp_path) for run in (run_agenthall, _started))
    assert (forked.returncode, forked.stdout, forked.stderr) == (started.returncode, started.stdout, started.stderr)


def test_variables_and_folder_are_the_same(tmp_path: Path) -> None:
    """The command imports a module of the folder, which prints what it sees."""
    (tmp_path / "probe.py").write_text(_PROBE)
    env = {**os.environ, "AGENTHALL_GRAPHS": '{"probe": "probe:graph"}'}
    seen = list[Any]()
    for run in (run_agenthall, _started):
        done = run("doctor", "--port", "0", env=env, cwd=tmp_path)
        seen.append(json.loads(next(line for line in done.stdout.splitlines() if line.startswith("[["))))
    assert seen[0] == seen[1]


def test_our_modules_read_nothing_of_the_process_when_they_are_imported() -> None:
    program = _READS_OF_IMPORTS.replace("{support}", str(Path(__file__).parent / "support"))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.fixture
def sleeper(tmp_path: Path) -> ForkedProcess:
    (tmp_path / "sleeping.py").write_text("import time\nprint('sleeps', flush=True)\ntime.sleep(600)\n")
    env = {**os.environ, "AGENTHALL_GRAPHS": '{"sleeping": "sleeping:graph"}'}
    with (tmp_path / "log").open("wb") as out:
        process = start_agenthall("doctor", "--port", "0", env=env, cwd=tmp_path, stdout=out, stderr=out)
    wait_until(lambda: "sleeps" in (tmp_path / "log").read_text(), "the import of the module")
    assert isinstance(process, ForkedProcess)
    return process


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_signal_ends_it_and_is_its_exit_code(sleeper: ForkedProcess, number: int) -> None:
    assert sleeper.poll() is None
    sleeper.send_signal(number)
    assert (sleeper.wait(DEADLINE), sleeper.poll()) == (-number, -number)
    sleeper.kill()  # does nothing


def test_it_has_no_files_but_its_streams(sleeper: ForkedProcess) -> None:
    assert psutil.Process(sleeper.pid).num_fds() == 3
    sleeper.kill()
    sleeper.wait(DEADLINE)


def test_it_ends_with_the_fork_server(sleeper: ForkedProcess) -> None:
    server = psutil.Process(sleeper.pid).parent()
    assert server is not None
    server.kill()
    wait_until(lambda: is_gone(sleeper.pid), "the end of the process")
    assert sleeper.wait(DEADLINE) == -signal.SIGKILL
    _fork_server.cache_clear()


@pytest.mark.parametrize("name", ["LANGSMITH_TRACING", "LD_LIBRARY_PATH", "OTEL_SDK_DISABLED", "PYTHONPATH"])
def test_a_process_with_other_values_of_what_is_read_at_the_start_is_not_forked(name: str) -> None:
    process = start_agenthall(
        "--version", env={**os.environ, name: "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert isinstance(process, subprocess.Popen)
    assert process.wait(DEADLINE) == 0
