"""An asyncio client in a separate thread, for programs without asyncio."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Generic, TypeVar

from . import client
from .errors import Closed

_T = TypeVar("_T")
_C = TypeVar("_C", bound=client.Client)


class BackgroundClient(Generic[_C]):
    """Holds an asyncio client open in a thread, from `start` to `stop`."""

    def __init__(self, create: Callable[[], _C]) -> None:
        self._create = create
        self._thread = threading.Thread(target=lambda: asyncio.run(self._hold()), name="agenthall", daemon=True)
        self._opened: concurrent.futures.Future[_C] = concurrent.futures.Future()
        self._ended: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leave: asyncio.Event | None = None
        self._error: BaseException | None = None

    def start(self) -> None:
        """Raises what opening the client raises."""
        if self._thread.ident is not None:
            raise Closed("The client was opened before. Create a new one.")
        self._thread.start()
        try:
            self._opened.result()
        finally:
            if not self.is_open:
                self._thread.join()

    def stop(self, error: BaseException | None) -> None:
        """Close the client. `error`: the exception that ended the block. Raises the final error unless there is one."""
        self._error = error
        if self._leave is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self.loop.call_soon_threadsafe(self._leave.set)
        self._thread.join()
        if error is None:
            self._ended.result()

    async def _hold(self) -> None:
        self._loop, self._leave = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with self._create() as opened:
                self._opened.set_result(opened)
                await self._leave.wait()
                _raise_again(self._error)
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that waits
            (self._ended if self._opened.done() else self._opened).set_exception(error)
        else:
            self._ended.set_result(None)

    @property
    def is_open(self) -> bool:
        return self._opened.done() and self._opened.exception() is None and not self._ended.done()

    @property
    def client(self) -> _C:
        """Also after the end. Raises Closed before `start`."""
        if not self._opened.done():
            raise Closed("The client is not connected. Use it inside `with`.")
        return self._opened.result()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise Closed("The client is not connected. Use it inside `with`.")
        return self._loop

    def wait(self, step: Callable[[_C], Coroutine[Any, Any, _T]]) -> _T:
        """Run a coroutine of the client, and return its result. Raises Closed and the final error."""
        client = self.client
        if not self.is_open:
            raise self._final_error()
        future = asyncio.run_coroutine_threadsafe(step(client), self.loop)
        while not concurrent.futures.wait([future], timeout=1.0).done:
            if not self._thread.is_alive():
                raise self._final_error()
        if future.cancelled():
            raise self._final_error()
        return future.result()

    def _final_error(self) -> BaseException:
        error = self._ended.exception() if self._ended.done() else None
        return error or Closed("The client is closed.")

    def iterate(self, stream: Callable[[_C], AsyncIterator[_T]]) -> Iterator[_T]:
        """Yield the items of an asynchronous iterator."""
        items = stream(self.client)
        end = object()

        async def following(_: _C) -> Any:
            return await anext(items, end)

        async def close(_: _C) -> None:
            await items.aclose()  # type: ignore[attr-defined]

        try:
            while (item := self.wait(following)) is not end:
                yield item
        finally:
            if self.is_open:
                self.wait(close)


def _raise_again(error: BaseException | None) -> None:
    """Raise the error of a block in the thread of the client, unless it would end that thread."""
    if isinstance(error, Exception):
        raise error
