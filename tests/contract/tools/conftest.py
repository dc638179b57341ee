"""A collector of traces, for tests that search all that a server says for secrets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from remote.otlp_receiver import OtlpReceiver


@pytest.fixture(scope="module")
def receiver() -> Iterator[OtlpReceiver]:
    opened = OtlpReceiver()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def traced(receiver: OtlpReceiver) -> dict[str, str]:
    """Settings with which a server sends traces, with the contents of messages."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true",
    }
