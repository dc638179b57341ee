"""The spans of a bot are children of the run's, whatever transport gave it the job."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from agenthall_client import AgentInstance
from bots.sql_bot import SqlBot, SqlJob
from deadlines import DEADLINE
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from remote.otlp_receiver import OtlpReceiver, lineage
from servers.sockets_process import SocketsProcess
from traced_server import ORGANIZATION, Traced

CALLER = "6bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{CALLER}-00f067aa0ba902b7-01"
HELLO = {"messages": [{"role": "user", "content": "hello"}]}

Work = Callable[[Mapping[str, Any]], str]
"""The work of a bot for one job: it opens a span below the trace that the job carries, and returns the answer."""

Bot = Callable[[Traced, SocketsProcess, str, Work], AbstractAsyncContextManager[None]]
"""Takes the agent's id. It has registered when the block begins, and works during it."""


@pytest.fixture(scope="module")
async def sockets(traced: Traced, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SocketsProcess]:
    process = SocketsProcess(traced.server.environment, tmp_path_factory.mktemp("sockets") / "sockets.log")
    try:
        await process.ready()
        yield process
    finally:
        process.kill()
        process.popen.wait()


@pytest.fixture
def work(receiver: OtlpReceiver) -> Iterator[Work]:
    """Sends its spans to the collector of the server."""
    provider = TracerProvider(resource=Resource.create({"service.name": "bot"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{receiver.url}/v1/traces")))

    def work(given: Mapping[str, Any]) -> str:
        headers = {name: given[name] for name in ("traceparent", "tracestate") if given.get(name)}
        parent = TraceContextTextMapPropagator().extract(headers)
        with provider.get_tracer("bot").start_as_current_span("answer", parent):
            return "done"

    yield work
    provider.shutdown()


@contextlib.asynccontextmanager
async def _working(task: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    working = asyncio.create_task(task)
    yield
    await asyncio.wait_for(working, DEADLINE)


@contextlib.asynccontextmanager
async def _websocket(_traced: Traced, sockets: SocketsProcess, agent_id: str, work: Work) -> AsyncIterator[None]:
    async with AgentInstance(agent_id, url=sockets.url, tenant_id=ORGANIZATION, slots=1) as me:

        async def answer() -> None:
            async for job in me.jobs():
                async with job:
                    job.result = work({"traceparent": job.traceparent, "tracestate": job.tracestate})
                break

        async with _working(answer()):
            yield


@contextlib.asynccontextmanager
async def _long_poll(traced: Traced, _sockets: SocketsProcess, agent_id: str, work: Work) -> AsyncIterator[None]:
    async with traced.server.http(**{"x-organization-id": ORGANIZATION}) as http:
        made = await _post(http, "/agents/instances", agent_id=agent_id, instance_id="poller", slots=1)
        epoch, registration_id = made["epoch"], made["registration_id"]

        async def answer() -> None:
            claim = f"/agents/instances/{registration_id}/jobs/claim"
            while not (jobs := (await _post(http, claim, epoch=epoch, wait_seconds=10))["jobs"]):
                pass
            ref = {"registration_id": registration_id, "epoch": epoch, "attempt": jobs[0]["attempt"]}
            path = f"/agents/jobs/{jobs[0]['job_id']}"
            await _post(http, f"{path}/accept", **ref)
            await _post(http, f"{path}/finish", **ref, result=work(jobs[0]))

        async with _working(answer()):
            yield


async def _post(http: httpx.AsyncClient, path: str, **body: Any) -> Any:
    return (await http.post(path, json=body)).raise_for_status().json()


@contextlib.asynccontextmanager
async def _sql(traced: Traced, _sockets: SocketsProcess, agent_id: str, work: Work) -> AsyncIterator[None]:
    connection = await asyncpg.connect(traced.server.database)
    bot = SqlBot(connection, UUID(ORGANIZATION), agent_id)
    await bot.register()

    async def answer(job: SqlJob) -> None:
        await job.finish(result=work(job.input))

    async with _working(bot.serve(answer)):
        yield
    await connection.close()


@pytest.mark.parametrize("bot", [_websocket, _long_poll, _sql], ids=["websocket", "long-poll", "sql"])
async def test_the_span_of_a_bot_is_a_child_of_the_node_that_gave_it_the_job(
    traced: Traced, sockets: SocketsProcess, work: Work, bot: Bot, request: pytest.FixtureRequest
) -> None:
    agent_id = f"traced-{request.node.callspec.id}"
    client = traced.server.sdk(traceparent=PARENT, tracestate="vendor=x", **{"x-organization-id": ORGANIZATION})
    async with bot(traced, sockets, agent_id, work):
        run = await client.runs.create(None, agent_id, input=HELLO, on_completion="keep")
        attempt = await traced.run_span(run["run_id"])
    answer = await traced.receiver.wait_for(name="answer", trace=CALLER, parent=await _node_of(traced, run["run_id"]))
    assert answer.resource["service.name"] == "bot" and answer.state == "vendor=x"
    spans = await traced.receiver.whole(attempt, caller="00f067aa0ba902b7")
    assert lineage(spans, answer) == [
        "POST /runs", "enqueue instances", "run instances", f"invoke_agent {agent_id}", "node agent", "answer",
    ]  # fmt: skip


async def _node_of(traced: Traced, run_id: str) -> str:
    """The id of the span of the run's only node."""
    agent = await traced.receiver.wait_for(gen_ai__operation__name="invoke_agent", agenthall__run__id=run_id)
    return (await traced.receiver.wait_for(name="node agent", parent=agent.id)).id
