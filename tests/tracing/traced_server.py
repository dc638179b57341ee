"""A traced server: web, worker, an MCP server and a model of a provider, all of which report to one collector."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from databases import fresh_database
from remote.mcp_process import McpProcess
from remote.otlp_receiver import OtlpReceiver, Received
from remote.strict_openai import StrictOpenAI
from servers.live_server import GRAPHS, LiveServer, live_server

TRACED_GRAPHS = Path(__file__).parent.parent / "support" / "served" / "traced_graphs.py"
SERVED = GRAPHS | {name: f"{TRACED_GRAPHS}:{name}" for name in ("mixed", "leaking", "joining")}
SECRET_KEY = "sk-a-secret-key-of-the-model"
COLLECTOR_KEY = "a-secret-of-the-collector"
ORGANIZATION = "9b2f0a9e-2f43-4c1e-8d52-0d3a6b0e9c11"


@dataclass
class Traced:
    """A server whose spans `receiver` gets. `agent`: the configuration of an agent with the traced MCP server."""

    server: LiveServer
    receiver: OtlpReceiver
    agent: dict[str, Any]

    async def run_span(self, run_id: str, attempt: int = 1) -> Received:
        """The span of an attempt, once it has ended."""
        return await self.receiver.wait_for(kind="CONSUMER", agenthall__run__id=run_id, agenthall__run__attempt=attempt)


@contextlib.asynccontextmanager
async def traced_server(postgres: str, template: str, receiver: OtlpReceiver) -> AsyncIterator[Traced]:
    model = StrictOpenAI()
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_EXPORTER_OTLP_HEADERS": f"x-collector-key={COLLECTOR_KEY}",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=tests",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "AGENTHALL_DRAIN_SECONDS": "0.1",
        "AGENTHALL_GRAPHS": orjson.dumps(SERVED).decode(),
        "OPENAI_API_KEY": SECRET_KEY,
        "OPENAI_BASE_URL": model.base_url,
    }
    with McpProcess("traced.py", "--collector", receiver.url) as tools:
        agent = {
            "model_name": "openai:gpt-4o",
            "temperature": 0.25,
            "mcp_config": {"servers": [{"name": "looker", "url": f"{tools.url}/mcp"}]},
        }
        async with fresh_database(postgres, template) as url, live_server(url, **settings) as server:
            yield Traced(server, receiver, agent)
    model.close()
