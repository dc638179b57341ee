"""Options of jobs as SQL clients write them: the database takes what the API takes."""

from __future__ import annotations

from typing import Any

import asyncpg
import orjson
import pytest
from registry_database import ORG_1, RegistryDatabase

from robyn_server.web.schemas.registry.configurations import JobOptions

_SET = "update mcp.agent_configurations set jobs = $1::text::jsonb"


async def test_the_defaults_of_the_database_are_those_of_the_api(registry: RegistryDatabase) -> None:
    options = orjson.loads(await registry.owner.fetchval("select mcp.job_options()"))
    assert options == orjson.loads(JobOptions().model_dump_json())


@pytest.mark.parametrize(
    "jobs",
    [
        {},
        {"retry": "never", "max_attempts": 1, "schedule_to_start_seconds": 0, "run_within_seconds": 1},
        {"schedule_to_start_seconds": None, "run_within_seconds": None, "version": None, "zone": None},
        {"required_capabilities": ["a"] * 64, "required_tags": ["x" * 128], "zone": "eu"},
        {"version": " >=1.2 , < v2.0.0-rc.1,1"},
    ],
)
async def test_options_that_the_api_takes_are_stored(registry: RegistryDatabase, jobs: dict[str, Any]) -> None:
    await registry.register()
    await registry.system.execute(_SET, orjson.dumps(jobs).decode())
    JobOptions.model_validate(jobs)


@pytest.mark.parametrize(
    "jobs",
    [
        [],
        None,
        {"retries": 1},
        {"retry": None},
        {"retry": "sometimes"},
        {"max_attempts": 0},
        {"max_attempts": 101},
        {"max_attempts": 1.5},
        {"max_attempts": "3"},
        {"max_attempts": None},
        {"schedule_to_start_seconds": -1},
        {"run_within_seconds": 0},
        {"run_within_seconds": 2_592_001},
        {"required_capabilities": None},
        {"required_capabilities": "a"},
        {"required_capabilities": [1]},
        {"required_tags": ["a"] * 65},
        {"required_tags": [""]},
        {"version": ""},
        {"version": "^1.2"},
        {"version": "1,"},
        {"version": ",".join(["1"] * 17)},
        {"version": 1},
        {"zone": ""},
        {"zone": "x" * 129},
    ],
)
async def test_options_that_the_api_refuses_are_refused(registry: RegistryDatabase, jobs: Any) -> None:
    await registry.register()
    with pytest.raises(asyncpg.CheckViolationError, match="agent_configurations_jobs"):
        await registry.system.execute(_SET, orjson.dumps(jobs).decode())
    with pytest.raises(ValueError):
        JobOptions.model_validate(jobs)


async def test_where_an_agent_runs_is_chosen_or_follows_from_its_model_and_prompt(registry: RegistryDatabase) -> None:
    query = "select mcp.effective_execution($1, $2, $3)"
    for given, wanted in (
        ((None, None, None), "instances"),
        ((None, "m", None), "here"),
        ((None, None, "p"), "here"),
        (("here", None, None), "here"),
        (("instances", "m", "p"), "instances"),
    ):
        assert await registry.owner.fetchval(query, *given) == wanted


async def test_older_code_that_writes_the_view_gets_the_defaults(registry: RegistryDatabase) -> None:
    await registry.system.execute("insert into mcp.agents (tenant_id, name) values ($1, 'Old Bot')", ORG_1)
    row = await registry.row("select execution, jobs from mcp.agent_configurations where name = 'Old Bot'")
    assert (row["execution"], row["jobs"]) == (None, "{}")
    await registry.system.execute("update mcp.agents set system_prompt = 'x' where name = 'Old Bot'")
