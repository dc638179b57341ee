"""Instance ids that are kept in files."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from agenthall_client.lease.instance_ids import claim_instance_id


def test_two_processes_have_two_ids_and_a_later_process_has_the_first_again(tmp_path: Path) -> None:
    first, second, other = claim_instance_id("ide"), claim_instance_id("ide"), claim_instance_id("bot")
    assert len({first.instance_id, second.instance_id, other.instance_id}) == 3
    first.release()
    again = claim_instance_id("ide")
    assert again.instance_id == first.instance_id
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in tmp_path.iterdir())
    for claimed in (again, second, other):
        claimed.release()


def test_an_id_is_new_where_none_can_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("AGENTHALL_STATE_DIR", str(tmp_path / "file"))
    assert claim_instance_id("ide").instance_id != claim_instance_id("ide").instance_id
