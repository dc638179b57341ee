"""One Supabase project for all tests here: the layout, the catalogue's login and feed, three agents, and a server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from cluster import ISSUER, PGBOUNCER, SECRET, Supabase, execute, sql_of_page, supabase, variable_of_page
from servers.live_server import LiveServer, live_server

_PRODUCT = """
insert into auth.users values ('00000000-0000-4000-8000-00000000000a', 'member@example.org'),
                              ('00000000-0000-4000-8000-00000000000b', 'stranger@example.org');
insert into public.organization_members values
  ('00000000-0000-4000-8000-0000000000aa', '00000000-0000-4000-8000-00000000000a');
insert into public.ai_models values ('00000000-0000-4000-8000-000000000001', 'offline:demo');
insert into public.global_ai_engines values
  ('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000001');
insert into public.agents (id, organization_id, name, system_prompt, engine_id)
select ('10000000-0000-4000-8000-00000000000' || n)::uuid, '00000000-0000-4000-8000-0000000000aa', 'Agent ' || n, 'first',
       '00000000-0000-4000-8000-000000000002' from generate_series(1, 3) n;
"""


@pytest.fixture(scope="module")
async def project() -> AsyncIterator[Supabase]:
    """AGENTHALL_TEST_SUPABASE_PGBIN selects another PostgreSQL than the embedded one."""
    if PGBOUNCER is None:
        pytest.skip("pgbouncer is not installed")
    programs = os.environ.get("AGENTHALL_TEST_SUPABASE_PGBIN")
    async with supabase(os.environ | ({"PGBIN": programs} if programs else {})) as made:
        owner = made.url(made.direct)
        await execute(owner, sql_of_page("The catalogue's login"))
        await execute(owner, _printed("catalogue", "install", "--print"))
        await execute(owner, _PRODUCT)
        yield made


@pytest.fixture(scope="module")
async def server(project: Supabase) -> AsyncIterator[LiveServer]:
    """A server that connects only through poolers, as in a network without IPv6."""
    settings = {
        "CATALOGUE_DATABASE_URL": project.url(project.transaction, "agenthall_catalogue"),
        "CATALOGUE_DIRECT_URL": project.url(project.session, "agenthall_catalogue"),
        "AGENT_SYNC_SCOPE": "all",
        "AGENT_SYNC_EVERY": "3600",
        "AGENTHALL_POOL_SIZE": "4",
        "AUTH_MODE": "jwt",
        "AUTH_JWT_SECRET": SECRET,
        "AUTH_JWT_AUDIENCE": "authenticated",
        "AUTH_JWT_ISSUER": ISSUER,
        "AUTH_MEMBERSHIP_QUERY": variable_of_page("AUTH_MEMBERSHIP_QUERY"),
    }
    async with live_server(project.url(project.session), webs=2, **settings) as started:
        yield started


def _printed(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "robyn_server", *arguments], capture_output=True, text=True, check=True
    ).stdout
