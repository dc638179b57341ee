"""`agenthall keys`, and a server that takes nothing but keys."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import AsyncIterator, Callable

import orjson
import pytest
from databases import fresh_database
from langgraph_sdk import get_client
from servers.forked_process import run_agenthall
from servers.live_server import live_server, until

HARBOUR, MEADOW = "0a000000-0000-4000-8000-000000000001", "0b000000-0000-4000-8000-000000000002"
KEY = re.compile(r"ahk_([a-z2-7]{10})_[0-9A-Za-z]{49}\n")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
async def url(postgres: str, template: str) -> AsyncIterator[str]:
    async with fresh_database(postgres, template) as made:
        yield made


@pytest.fixture(scope="module")
def keys(url: str) -> Run:
    ours = ("AGENT", "AUTH_", "DATABASE_", "CATALOGUE_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}

    def run(*arguments: str, database: str = url, **environment: str) -> subprocess.CompletedProcess[str]:
        return run_agenthall("keys", *arguments, env={**inherited, "DATABASE_URL": database, **environment})

    return run


async def test_a_key_made_by_hand_opens_a_server_of_keys_only_until_it_is_revoked(url: str, keys: Run) -> None:
    made = keys("create", "--tenant", HARBOUR, "--tenant", MEADOW, "--name", "pipe", "--expires", "30d")
    assert made.returncode == 0, made.stderr
    match = KEY.fullmatch(made.stdout)
    assert match, "the key alone is on standard output"
    assert match[1] in made.stderr and HARBOUR in made.stderr and made.stdout.strip() not in made.stderr
    async with live_server(url, workers=0, AUTH_MODE="keys") as server:
        sdk = get_client(url=server.url, api_key=made.stdout.strip())
        assert await sdk.threads.search() == []
        async with server.http(authorization="Bearer a.b.c") as stranger:
            assert (await stranger.post("/threads/search", json={})).json()["code"] == "key_invalid"
        async with server.http() as stranger:
            assert (await stranger.post("/threads/search", json={})).json()["code"] == "key_missing"
        revoked = keys("revoke", match[1])
        assert (revoked.returncode, revoked.stdout[:18]) == (0, f"revoked {match[1]}"), revoked.stderr
        async with server.http(**{"x-api-key": made.stdout.strip()}) as client:

            async def refused() -> bool:
                return (await client.post("/threads/search", json={})).json()["code"] == "key_revoked"

            await until(refused)


async def test_a_key_is_bound_to_agents(keys: Run) -> None:
    made = keys("create", "--tenant", HARBOUR, "--agent", "my-bot", "--agent", "your-bot")
    match = KEY.fullmatch(made.stdout)
    assert match and "writes agents my-bot, your-bot only" in made.stderr
    listed = orjson.loads(keys("list", "--tenant", HARBOUR, "-o", "json").stdout)
    assert {each["prefix"]: each["agents"] for each in listed}[match[1]] == ["my-bot", "your-bot"]
    assert "my-bot,your-bot" in keys("list", "--tenant", HARBOUR).stdout
    refused = keys("create", "--tenant", HARBOUR, "--agent", " ")
    assert refused.returncode != 0 and "agents:" in refused.stderr


async def test_a_key_is_bound_to_assistants_and_rotated(keys: Run) -> None:
    made = keys("create", "--tenant", HARBOUR, "--assistant", MEADOW)
    match = KEY.fullmatch(made.stdout)
    assert match and f"runs assistants {MEADOW} only" in made.stderr
    rotated = keys("rotate", match[1], "--overlap", "2h")
    again = KEY.fullmatch(rotated.stdout)
    assert again and again[1] == match[1] and again[0] != match[0] and "its old secret until " in rotated.stderr
    listed = orjson.loads(keys("list", "--tenant", HARBOUR, "-o", "json").stdout)
    shown = {each["prefix"]: each for each in listed}[match[1]]
    assert shown["assistants"] == [MEADOW] and shown["rotated_at"] < shown["previous_until"]
    assert KEY.fullmatch(keys("rotate", match[0].strip(), "--overlap", "0").stdout)
    keys("revoke", match[1])
    refused = keys("rotate", match[1])
    assert refused.returncode == 1 and "The API key is revoked" in refused.stderr


async def test_keys_are_listed_for_people_and_for_programs(keys: Run) -> None:
    made = KEY.fullmatch(
        keys("create", "--tenant", MEADOW, "--scope", "runs", "--scope", "threads:read", "--kind", "instance").stdout
    )
    assert made
    listed = keys("list", "--tenant", MEADOW, "-o", "json")
    found = {each["prefix"]: each for each in orjson.loads(listed.stdout)}[made[1]]
    assert found["scopes"] == ["runs", "threads:read"] and found["organizations"] == [MEADOW]
    assert (found["kind"], found["identity"], found["status"]) == ("instance", f"key:{made[1]}", "active")
    assert found["created_by"].startswith("cli:")
    shown = keys("list")
    assert shown.returncode == 0 and made[1] in shown.stdout and "runs,threads:read" in shown.stdout
    assert not KEY.search(shown.stdout + listed.stdout)


def test_a_key_for_a_server_that_looks_at_none_is_made_with_a_warning(keys: Run) -> None:
    made = keys("create", "--tenant", MEADOW)
    assert KEY.fullmatch(made.stdout)
    assert made.stderr.startswith("agenthall: warning: AUTH_MODE is none here")
    as_json = keys("create", "--tenant", MEADOW, "-o", "json")
    answer = orjson.loads(as_json.stdout)
    assert KEY.fullmatch(f"{answer['key']}\n") and answer["organizations"] == [MEADOW]
    assert "AUTH_MODE=keys" in as_json.stderr and answer["key"] not in as_json.stderr
    assert "warning" not in keys("create", "--tenant", MEADOW, AUTH_MODE="keys").stderr


@pytest.mark.parametrize(
    ("arguments", "said", "status"),
    [
        (("create",), "name at least one", 2),
        (("create", "--tenant", HARBOUR, "--expires", "tomorrow"), "--expires", 2),
        (("revoke", "aaaaaaaaaa"), "no API key", 1),
        (("rotate", "aaaaaaaaaa"), "no API key", 1),
        (("rotate", "aaaaaaaaaa", "--overlap", "soon"), "--overlap", 2),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(keys: Run, arguments: tuple[str, ...], said: str, status: int) -> None:
    answer = keys(*arguments)
    assert (answer.returncode, answer.stdout) == (status, "")
    assert said in answer.stderr and "Traceback" not in answer.stderr


def test_a_database_without_our_schema_is_said_to_be(keys: Run, postgres: str) -> None:
    answer = keys("list", database=postgres)
    assert answer.returncode == 2 and "agenthall migrate" in answer.stderr
