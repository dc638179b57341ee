"""The doctor on what AUTH_MODE=jwt depends on."""

from __future__ import annotations

import asyncio
import os

import asyncpg
from databases import fresh_database
from remote.jwks_server import SigningPair, jwks_server
from servers.forked_process import run_agenthall


async def doctor(url: str, **environment: str) -> str:
    ours = ("AGENT", "AUTH_", "DATABASE_", "CATALOGUE_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    said = await asyncio.to_thread(
        run_agenthall,
        "doctor",
        "--port",
        "0",
        env={**inherited, "DATABASE_URL": url, "AUTH_MODE": "jwt", "AUTH_JWT_AUDIENCE": "agents", **environment},
    )
    return said.stdout


async def test_a_key_set_and_a_membership_query_are_tried(postgres: str) -> None:
    async with fresh_database(postgres) as url, jwks_server(SigningPair("ES256", "first")) as issuer:
        connection = await asyncpg.connect(url)
        await connection.execute("create table members (user_id text, organization_id uuid)")
        await connection.close()
        query = "select organization_id from members where user_id = $1"
        good = await doctor(url, AUTH_JWKS_URL=issuer.url, AUTH_MEMBERSHIP_QUERY=query)
        assert "1 key at http" in good
        assert "AUTH_MEMBERSHIP_QUERY prepares" in good and "FAIL" not in good
        issuer.status = 500
        bad = await doctor(url, AUTH_JWKS_URL=issuer.url, AUTH_MEMBERSHIP_QUERY="select user_id, 1 from members")
        assert "FAIL  jwks" in bad and issuer.url in bad
        assert "FAIL  membership" in bad and "must take $1" in bad
