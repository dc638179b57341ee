"""`agenthall credentials`: put, list, rotate and delete, without a word of the secrets."""

from __future__ import annotations

import base64
from collections.abc import Callable
from subprocess import CompletedProcess

import orjson
import pytest
from commands.command_line import agenthall

SECRET = "sk-of-the-tools-41c7"
URL = "https://tools.example/mcp"
OLD, NEW = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def run(database: str) -> Run:
    def call(*arguments: str, given: str | None = None, key: str = OLD) -> CompletedProcess[str]:
        return agenthall("credentials", *arguments, given=given, DATABASE_URL=database, AGENTHALL_SECRET_KEY=key)

    return call


def test_a_credential_is_put_listed_rotated_and_deleted(run: Run):
    assert run("put", "https://TOOLS.example", given=f"{SECRET}\n").returncode == 0
    assert run("put", URL, "--env", "TOOLS", "--tenant", "0a000000-0000-4000-8000-000000000001").returncode == 0
    listed = run("list", "-o", "json")
    assert listed.returncode == 0, listed.stderr
    assert [(each["url"], each["kind"]) for each in orjson.loads(listed.stdout)] == [(URL, "stored"), (URL, "env")]
    assert SECRET not in listed.stdout + run("list").stdout
    assert run("rotate", key=f"{NEW},{OLD}").stdout == "encrypted again: 2\n"
    assert run("rotate", key=NEW).stdout == "encrypted again: 0\n"
    refused = run("rotate", key=OLD)
    assert refused.returncode == 1 and URL in refused.stderr
    assert run("delete", URL).returncode == 0
    assert run("delete", URL).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "given", "named"),
    [
        (["put", URL], "\n", "standard input"),
        (["put", "ftp://tools"], f"{SECRET}\n", "url"),
        (["put", URL, "--env", "A", "--file", "/b"], None, "--env"),
        (["put", URL, "--pass-through"], None, "audience"),
        (["put", URL, "--exchange", "http://login.example/token"], None, "token_endpoint"),
    ],
)
def test_wrong_usage_is_named_without_the_secret(run: Run, arguments: list[str], given: str | None, named: str):
    done = run(*arguments, given=given)
    assert done.returncode == 2 and named in done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_a_key_that_is_none_is_refused_without_its_text(run: Run):
    done = run("put", URL, given=f"{SECRET}\n", key="not-a-key-7781")
    assert done.returncode == 2 and "AGENTHALL_SECRET_KEY" in done.stderr and "7781" not in done.stderr
