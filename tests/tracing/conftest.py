from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from remote.otlp_receiver import OtlpReceiver
from traced_server import Traced, traced_server


@pytest.fixture(scope="module")
def receiver() -> Iterator[OtlpReceiver]:
    opened = OtlpReceiver()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
async def traced(postgres: str, template: str, receiver: OtlpReceiver) -> AsyncIterator[Traced]:
    async with traced_server(postgres, template, receiver) as running:
        yield running
