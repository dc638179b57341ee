"""docs/how-to/back-up-and-restore.md, run as it is written: every command of its blocks, in order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from databases import fresh_database
from deadlines import DEADLINE
from doc_pages import DOCS

PAGE = DOCS / "how-to" / "back-up-and-restore.md"
BLOCKS = re.findall(r"^```\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]
INLINE = re.findall(r"`(agenthall (?:backup|restore|migrate)[^`]*)`", PAGE.read_text(encoding="utf-8"))


def _run(folder: Path, command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    (folder / "bin").mkdir(exist_ok=True)
    program = folder / "bin" / "agenthall"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m robyn_server "$@"\n')
    program.chmod(0o755)
    ours = ("AGENT", "AUTH_", "DATABASE_", "CATALOGUE_", "PG")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(
        ["/bin/bash", "-euc", command],
        cwd=folder,
        env={**inherited, "PATH": f"{folder}/bin:{os.environ['PATH']}", **settings},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


async def test_the_commands_of_the_page_work_in_their_order(postgres: str, template: str, tmp_path: Path) -> None:
    nightly = tmp_path / "nightly-backups"
    nightly.mkdir()
    async with fresh_database(postgres, template) as used, fresh_database(postgres) as empty:
        targets = {"agenthall restore agenthall.backup": empty}
        for line in COMMANDS:
            command = line.replace("/var/backups/agenthall", str(nightly)).replace("\\\n", "")
            if command.startswith(("export DATABASE_URL", "agenthall serve")):
                continue  # the URL is the test's; tests/backup/test_backup_embedded.py serves a restored directory
            settings = {} if "--data-dir" in command else {"DATABASE_URL": targets.get(command, used)}
            if command.startswith("agenthall restore before-upgrade.backup"):
                assert _run(tmp_path, "agenthall backup before-upgrade.backup", **settings).returncode == 0
            done = _run(tmp_path, command, **settings)
            assert done.returncode == 0 or command == "agenthall doctor", f"{command}\n{done.stdout}{done.stderr}"
            if command == "agenthall doctor":
                assert "ok  " in done.stdout and "Traceback" not in done.stderr
    assert len(list(nightly.iterdir())) == 1


async def test_the_commands_in_the_text_work_too(postgres: str, template: str, tmp_path: Path) -> None:
    complete = [command for command in INLINE if re.search(r"\.backup$|/$|migrate$", command)]
    assert len(complete) >= 4
    async with fresh_database(postgres, template) as used:
        for command in complete:
            done = _run(tmp_path, command, DATABASE_URL=used)
            assert done.returncode == 0, f"{command}\n{done.stderr}"


@pytest.mark.parametrize("word", ["--overwrite", "--replace", "must_register", "nothing to apply", "PGBIN"])
def test_the_page_names_what_the_commands_have(word: str) -> None:
    assert word in PAGE.read_text(encoding="utf-8")
