"""The client without asyncio: the same classes, with methods that block.

    with AgentInstance("my-bot", slots=1) as me:
        for job in me.jobs():
            with job:
                job.emit("hello")

Each instance or client runs its asyncio client in a separate thread. Methods may be called from any thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self, cast

from agenthall_client.discovery.events import Event
from agenthall_client.discovery.instance_record import InstanceRecord
from agenthall_client.lease.registration import Registration, State

from . import client, instance
from .background_client import BackgroundClient
from .jobs.handlers import Handler
from .jobs.threads import ThreadJob
from .sigterm import on_first_sigterm_of_thread


class Client:
    """See agenthall_client.Client. The arguments are the same."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._background: BackgroundClient[Any] = BackgroundClient(lambda: client.Client(*arguments, **options))

    def __enter__(self) -> Self:
        self._background.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._background.stop(error)

    def discover(self, capability: str | None = None, **filters: Any) -> list[InstanceRecord]:
        return self._background.wait(lambda opened: opened.discover(capability, **filters))

    def list(self, capability: str | None = None, **filters: Any) -> list[InstanceRecord]:
        return self._background.wait(lambda opened: opened.list(capability, **filters))

    def status(self, registration_id: object) -> InstanceRecord:
        return cast("InstanceRecord", self._background.wait(lambda opened: opened.status(registration_id)))

    def watch(self, **filters: Any) -> Iterator[Event]:
        return self._background.iterate(lambda opened: opened.watch(**filters))


class AgentInstance(Client):
    """See agenthall_client.AgentInstance. The arguments are the same.

    `health`, `load`, `metrics` and `token` are called in the thread of the client.
    """

    def __init__(self, agent_id: str, *, drain_on_sigterm: bool = False, **options: Any) -> None:
        self.agent_id = agent_id
        self._drain_on_sigterm = drain_on_sigterm
        self._signal_handlers = contextlib.ExitStack()
        self._background = BackgroundClient(lambda: instance.AgentInstance(agent_id, **options))

    def __enter__(self) -> Self:
        super().__enter__()
        if self._drain_on_sigterm:
            self._signal_handlers.enter_context(on_first_sigterm_of_thread(self._drain_in_background))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._signal_handlers.close()
        super().__exit__(kind, error, trace)

    def _drain_in_background(self) -> None:
        # A handler of a signal must not wait: it may have interrupted a call that holds a lock.
        self._background.loop.call_soon_threadsafe(self._background.client._on_sigterm)  # noqa: SLF001

    @property
    def instance_id(self) -> str:
        return str(self._background.client.instance_id)

    @property
    def registration(self) -> Registration | None:
        return self._background.client.registration  # type: ignore[no-any-return]

    @property
    def registration_id(self) -> str | None:
        return None if self.registration is None else self.registration.registration_id

    @property
    def epoch(self) -> int | None:
        return None if self.registration is None else self.registration.epoch

    @property
    def state(self) -> State:
        return State(self._background.client.state)

    def update(self, **changes: Any) -> InstanceRecord:
        return cast("InstanceRecord", self._background.wait(lambda opened: opened.update(**changes)))

    def drain(self, reason: str = "draining") -> None:
        self._background.wait(lambda opened: opened.drain(reason))

    def until_draining(self) -> None:
        self._background.wait(lambda opened: opened.until_draining())

    def beat_now(self) -> None:
        self._background.loop.call_soon_threadsafe(self._background.client.beat_now)

    def jobs(self) -> Iterator[ThreadJob]:
        """Yield jobs, until the instance drains. For several jobs at a time iterate in several threads, or `serve`."""
        for job in self._background.iterate(lambda opened: opened.jobs()):
            yield ThreadJob(job, self._background.loop)

    def serve(self, handler: Handler) -> None:
        """Give each job to `handler`, in a separate thread, until the instance drains and all jobs have ended."""
        self._background.wait(lambda opened: opened.serve(handler))
