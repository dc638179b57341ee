"""GET /doctor runs the checks of `agenthall doctor` about the server that answers, for administrators."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from commands.command_line import agenthall
from databases import fresh_database
from servers.live_server import LiveServer, live_server, until
from users.demo_users import SECRET, bearer

from robyn_server.core.access.principal import LOCAL, Principal
from robyn_server.core.errors import Forbidden, Unavailable
from robyn_server.services.monitoring.doctor import DoctorCommand, DoctorService

KEY = "sk-of-a-provider-81c7"
PRINTED = '{"passed": true, "checks": [{"name": "one", "passed": true, "text": "TEXT"}]}'


@pytest.fixture(scope="module")
async def server(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    settings = {"AUTH_MODE": "jwt", "AUTH_JWT_SECRET": SECRET, "OPENAI_API_KEY": KEY}
    async with fresh_database(postgres, template) as url, live_server(url, **settings) as running:
        yield running


async def test_an_administrator_gets_the_facts_that_the_command_prints(server: LiveServer) -> None:
    headers = bearer("root", permissions=("admin",))
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=120) as root:
        asked = asyncio.create_task(root.get("/doctor"))
        while not asked.done():  # the event loop goes on answering
            began = time.monotonic()
            assert (await root.get("/ok")).status_code == 200 and time.monotonic() - began < 20
        answer = await asked
    assert answer.status_code == 200, answer.text
    checks = {each["name"]: each for each in answer.json()["checks"]}
    assert checks["database"]["passed"] and checks["database"]["text"].startswith("PostgreSQL ")
    assert checks["schema"]["passed"] and checks["graph agent"]["passed"]
    assert "is served by an Agenthall" in checks["port"]["text"]
    assert SECRET not in answer.text and KEY not in answer.text
    printed = agenthall("doctor", "--json", "--port", str(server.port), **server.environment)
    assert printed.stdout and set(checks) == {
        each["name"] for each in httpx.Response(200, text=printed.stdout).json()["checks"]
    }


async def test_only_administrators_get_them(server: LiveServer) -> None:
    async with httpx.AsyncClient(base_url=server.url, headers=bearer("ada"), timeout=60) as ada:
        assert (await ada.get("/doctor")).status_code == 403


def service(script: str, *, deadline: float = 60, environment: Mapping[str, str] | None = None) -> DoctorService:
    return DoctorService(DoctorCommand((sys.executable, "-c", script), environment or {}), deadline=deadline)


def text_of(answer: Mapping[str, Any]) -> str:
    return str(answer["checks"][0]["text"])


async def test_secrets_of_the_environment_are_in_no_text() -> None:
    environment = {
        "DATABASE_URL": "postgresql://me:p%40ssword9@host/db",
        "SOME_API_KEY": "sk-12345678",
        "HOOK_SECRET": "https://hook.example/T0/b7",
        "AGENTHALL_PORT": "2024",
    }
    told = "p%40ssword9 p@ssword9 sk-12345678 https://hook.example/T0/b7 2024 postgresql://me@host"
    answer = await service(f"print({PRINTED.replace('TEXT', told)!r})", environment=environment).check(LOCAL)
    assert text_of(answer) == "[secret] [secret] [secret] [secret] 2024 postgresql://me@host"


async def test_callers_at_once_share_one_process(tmp_path: Path) -> None:
    script = f"open({str(tmp_path / 'runs')!r}, 'a').write('x'); print({PRINTED!r})"
    doctor = service(script)
    answers = await asyncio.gather(*(doctor.check(LOCAL) for _ in range(10)))
    assert [text_of(each) for each in answers] == ["TEXT"] * 10
    assert (tmp_path / "runs").read_text() == "x"


async def test_a_process_that_hangs_is_killed_with_what_it_started(tmp_path: Path) -> None:
    child = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    asked = asyncio.create_task(service(script, deadline=5).check(LOCAL))
    with pytest.raises(Unavailable, match="did not end within 5 seconds"):
        await asked
    pid = (tmp_path / "pid").read_text()
    await until(lambda: not is_running(pid))  # a killed process ends when its turn comes


def is_running(pid: str) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("script", ["print('no json')", "raise SystemExit(1)"])
async def test_a_process_that_says_nothing_of_use_is_an_error_that_can_be_retried(script: str) -> None:
    with pytest.raises(Unavailable, match="could not be run"):
        await service(script).check(LOCAL)


async def test_the_service_refuses_others_itself() -> None:
    with pytest.raises(Forbidden):
        await service("").check(Principal("ada", frozenset()))
