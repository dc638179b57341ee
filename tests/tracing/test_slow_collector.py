"""Collectors that hang: requests and runs do not wait for them, and the processes stop nevertheless."""

from __future__ import annotations

from databases import fresh_database
from remote.langsmith_server import LangSmithServer
from remote.otlp_receiver import OtlpReceiver
from servers.live_server import live_server, until


async def test_a_collector_that_hangs_holds_nobody(postgres: str, template: str) -> None:
    collector, langsmith = OtlpReceiver(), LangSmithServer()
    collector.hang()
    langsmith.hang()
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_TIMEOUT": "3600",
        "OTEL_BSP_SCHEDULE_DELAY": "10",
        "OTEL_BSP_MAX_QUEUE_SIZE": "16",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8",
        "LANGSMITH_TRACING": "true",
        "LANGSMITH_API_KEY": "k",
        "LANGSMITH_ENDPOINT": langsmith.url,
    }
    try:
        async with fresh_database(postgres, template) as url, live_server(url, **settings) as server:
            client = server.sdk()
            await client.runs.wait(None, "echo", input={"text": "first"})
            await until(lambda: collector.asked and langsmith.asked)
            for number in range(10):
                values = await client.runs.wait(None, "counter", input={"until": 3 + number})
                assert values["count"] == 3 + number  # type: ignore[call-overload]
            assert not collector.spans
            server.stop()
            assert [process.popen.returncode for process in server.processes] == [0, 0]
            assert "the last spans were not sent" in server.workers[0].read_log()
    finally:
        collector.close()
        langsmith.close()
