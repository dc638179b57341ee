"""The keys of a process, in a variable or in a file."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from robyn_server.core.errors import Misconfigured
from robyn_server.credentials.key_ring import new_key
from robyn_server.credentials.keys import Keys


def test_the_file_is_made_when_it_is_needed_and_only_its_owner_may_read_it(tmp_path: Path):
    keys = Keys(None, tmp_path / "state")
    assert not keys.path.exists()
    sealed = keys.seal("s3cret", b"row")
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600
    assert Keys(None, tmp_path / "state").open(sealed, b"row") == "s3cret"


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path):
    with ThreadPoolExecutor(8) as threads:
        rings = list(threads.map(lambda _: Keys(None, tmp_path).ring().current, range(32)))
    assert len(set(rings)) == 1
    assert [each.name for each in tmp_path.iterdir()] == ["secret-key"]


def test_a_file_that_others_may_read_is_refused(tmp_path: Path):
    keys = Keys(None, tmp_path)
    keys.seal("s3cret", b"row")
    keys.path.chmod(0o640)
    with pytest.raises(Misconfigured, match="chmod 600"):
        Keys(None, tmp_path).ring()


def test_a_running_process_reads_a_key_that_another_has_added(tmp_path: Path):
    running, command = Keys(None, tmp_path), Keys(None, tmp_path)
    before = running.seal("old", b"row")
    command.ring()
    command.add_to_file()
    assert running.open(command.seal("new", b"row"), b"row") == "new"
    assert running.open(before, b"row") == "old"


def test_the_variable_wins_and_makes_no_file(tmp_path: Path):
    keys = Keys(SecretStr(new_key()), tmp_path)
    keys.seal("s3cret", b"row")
    assert list(tmp_path.iterdir()) == []
