"""Processes whose key AWS KMS has to decrypt: they say at their start that it does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands.command_line import agenthall
from remote.kms_server import ALIAS, kms_server
from servers.live_server import free_port

from robyn_server.credentials.key_service import new_wrapped_key


@pytest.mark.parametrize(
    ("command", "failure", "status", "reason"),
    [
        ("web", ("AccessDeniedException", 400), 2, "AWS KMS refuses the key (AccessDeniedException)"),
        ("web", ("KMSInternalException", 500), 3, "AWS KMS does not answer now (KMSInternalException)"),
        ("worker", ("AccessDeniedException", 400), 2, "AWS KMS refuses the key (AccessDeniedException)"),
        ("worker", ("KMSInternalException", 500), 1, "AWS KMS does not answer now (KMSInternalException)"),
    ],
)
def test_a_process_without_its_key_ends_and_says_why(
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    failure: tuple[str, int],
    status: int,
    reason: str,
) -> None:
    with kms_server() as kms:
        for name, value in kms.environment.items():
            monkeypatch.setenv(name, value)
        key = new_wrapped_key(ALIAS)
        kms.failure = failure
        port = {"AGENTHALL_PORT": str(free_port())} if command == "web" else {}
        ended = agenthall(command, cwd=tmp_path, DATABASE_URL=database, AGENTHALL_SECRET_KEY=key, **port)
    assert ended.returncode == status, ended.stderr[-2000:]
    assert reason in ended.stderr
    assert key not in ended.stdout + ended.stderr and "botocore" not in ended.stderr
