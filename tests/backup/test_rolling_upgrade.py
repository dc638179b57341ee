"""Promises of docs/how-to/back-up-and-restore.md: old and new processes side by side, and the way back."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from databases import fresh_database
from operator_commands import agenthall
from servers.live_server import live_server

from robyn_server.files import packaged
from robyn_server.graphs.checkpoints.saver import set_up
from robyn_server.storage.postgres.migrations import migrate, read_migrations

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "back-up-and-restore.md"
NEXT = len(read_migrations(packaged("migrations"))) + 1
MIGRATION_OF_A_NEWER_BUILD = """
alter table agenthall.threads add column mood text not null default 'calm';
alter table agenthall.runs add column weight integer;
alter table agenthall.assistants add column hue text default 'red';
alter table mcp.agent_instances add column room text;
create table agenthall.moods (mood text);
"""
"""As rule 7 of migrations/README.md allows: columns with a default, or that may be null."""


async def _migrate_to_a_newer_build(url: str, folder: Path) -> None:
    newer = Path(shutil.copytree(packaged("migrations"), folder / "newer"))
    (newer / f"{NEXT:04d}_moods.sql").write_text(MIGRATION_OF_A_NEWER_BUILD)
    await migrate(url, newer)


async def test_old_processes_go_on_after_a_migration_and_new_ones_of_the_old_build_refuse(
    postgres: str, template: str, tmp_path: Path
) -> None:
    async with fresh_database(postgres, template) as url, live_server(url) as server:
        client = server.sdk()
        waiting = (await client.threads.create())["thread_id"]
        await client.runs.wait(waiting, "approval", input={"question": "migrate?"})
        await _migrate_to_a_newer_build(url, tmp_path)
        assert await client.runs.wait(None, "echo", input={"text": "still here"}) == {"text": "still here"}
        resumed: Any = await client.runs.wait(waiting, "approval", command={"resume": "yes"})
        assert resumed["answer"] == "yes"
        assistant = await client.assistants.create("echo", name="made by an old process")
        assert (await client.assistants.update(assistant["assistant_id"], name="edited"))["name"] == "edited"
        assert await client.threads.search() and await client.assistants.search()

        late = server.add_web()
        assert await late.ended() == 2
        said = "The database is newer than this build"
        assert said in late.read_log() and said in PAGE.read_text(encoding="utf-8")
        server.webs.remove(late)


async def test_the_old_version_works_again_on_the_backup_from_before_the_upgrade(
    postgres: str, template: str, tmp_path: Path
) -> None:
    before, after = tmp_path / "before-upgrade.backup", tmp_path / "after-upgrade.backup"
    async with fresh_database(postgres, template) as url:
        async with live_server(url) as server:
            thread = (await server.sdk().threads.create(metadata={"made": "before"}))["thread_id"]
            assert agenthall("backup", before, DATABASE_URL=url).returncode == 0
        await _migrate_to_a_newer_build(url, tmp_path)
        refused = agenthall("migrate", DATABASE_URL=url)
        assert refused.returncode == 2 and "newer than this build" in refused.stderr

        saved = agenthall("backup", after, DATABASE_URL=url)  # keeps the newer state, too
        assert saved.returncode == 0 and "moods" in saved.stdout and "could not restore" in saved.stderr
        refused = agenthall("restore", after, "--replace", DATABASE_URL=url)
        assert refused.returncode == 1 and f"{NEXT:04d}_moods" in refused.stderr

        restored = agenthall("restore", before, "--replace", DATABASE_URL=url)
        assert restored.returncode == 0, restored.stderr
        assert "nothing to apply" in agenthall("migrate", DATABASE_URL=url).stdout
        async with live_server(url) as server:
            found = await server.sdk().threads.search()
            assert [each["thread_id"] for each in found] == [thread]
            assert await server.sdk().runs.wait(None, "echo", input={"text": "back"}) == {"text": "back"}


async def test_a_backup_of_an_older_build_is_migrated(postgres: str, tmp_path: Path) -> None:
    """The archive has all migrations but the last one, as one that was written a release ago."""
    known = read_migrations(packaged("migrations"))
    old = tmp_path / "old_migrations"
    old.mkdir()
    for each in known[:-1]:
        (old / f"{each}.sql").write_text(each.sql, encoding="utf-8")
    async with fresh_database(postgres) as source, fresh_database(postgres) as target:
        await migrate(source, old)
        await set_up(source)
        assert agenthall("backup", tmp_path / "old.backup", DATABASE_URL=source).returncode == 0
        restored = agenthall("restore", tmp_path / "old.backup", DATABASE_URL=target)
        assert restored.returncode == 0, restored.stderr
        assert f"migration {known[-2]}" in restored.stdout and f"applied {known[-1]}" in restored.stdout
