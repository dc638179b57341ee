"""The parent of all processes of one `serve`.

Rules:

1. A child that exits is started again: at once if it had been ready since its start, else after a pause that grows with
   each exit (`restart_policy.py`).
2. A child that exits with code 2 before it was ready reports wrong settings. A restart does not help, so everything is
   stopped, and the exit code of `serve` is 2.
3. The first SIGINT, SIGTERM or SIGHUP drains: children are asked to exit, stage by stage, and are killed after the
   grace period. A second signal kills at once.
4. SIGUSR1 restarts the stages that `on_reload` returns, when their processes have drained. With `on_reload`, wrong
   settings wait for the next reload instead of rule 2.
5. Everything happens in the main thread: the children's death signal belongs to the thread that spawned them
   (`parent_death.py`), and a process with one thread may fork. Between events the process sleeps in `select`.
"""

from __future__ import annotations

import contextlib
import math
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import Self

from .child import Child, Stage
from .output.log import SupervisorLog
from .restart_policy import RestartPolicy

MISCONFIGURED = 2
"""Exit code of a child whose settings are wrong, and of `serve` because of it."""

KILLED = 130
"""Exit code after a second signal: 128 + SIGINT, as in shells."""

READINESS_POLL = 0.02
"""Seconds between checks of children that are not yet ready."""

RELOAD_SIGNAL = signal.SIGUSR1

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class ManagedChild:
    """A child under supervision. `starts_at` (of `time.monotonic`) is when it may start; None while it runs.

    `stops_by`: when it is killed, if it was asked to exit in order to start again.
    """

    child: Child
    restarts: RestartPolicy = field(default_factory=RestartPolicy)
    starts_at: float | None = 0.0
    stops_by: float | None = None
    started: float = 0.0
    ready: bool = False
    was_ready: bool = False


class Supervisor:
    """A context manager that handles the signals while it is open. `run` returns the exit code.

    `grace`: seconds for each stage to drain. `on_ready` is called once, when every child is ready. It may return a
    process, which is reaped when it ends and does not outlive `run`. Children of the stages in `after_web` start when
    those of stage web are ready, to leave the processor to them. `on_child_exit` gets the name of each child that
    exited without being stopped. `on_reload` prepares the children for a new start and returns the stages that start
    again.
    """

    def __init__(
        self,
        log: SupervisorLog,
        *,
        grace: float,
        on_ready: Callable[[], subprocess.Popen[str] | None] = lambda: None,
        after_web: frozenset[Stage] = frozenset({Stage.DEMO}),
        restarts: Callable[[], RestartPolicy] = RestartPolicy,
        on_child_exit: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._log = log
        self._grace = grace
        self.on_ready = on_ready
        self._after_web = after_web
        self._restarts = restarts
        self._on_child_exit = on_child_exit
        self.on_reload: Callable[[], frozenset[Stage]] | None = None
        self._managed: list[ManagedChild] = []
        self._stopping = self.force_stop = self._interruptible = False
        self._exit_code = 0
        self._is_ready_reported = self._is_reload_requested = False
        self._reloading_since: float | None = None
        self._banner_process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._wakeup, self._waker = socket.socketpair()
        for end in (self._wakeup, self._waker):
            end.setblocking(False)
        handled = [number for number in STOP_SIGNALS if not _is_ignored(number)]
        self._previous = {number: signal.signal(number, self._on_signal) for number in handled}
        self._previous[RELOAD_SIGNAL] = signal.signal(RELOAD_SIGNAL, self._on_reload_signal)
        self._previous[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)  # only to wake `select`
        self._previous_fd = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        signal.set_wakeup_fd(self._previous_fd)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._wakeup.close()
        self._waker.close()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of handlers
        self.force_stop = self._stopping
        self._stopping = True
        if self._interruptible:
            self._interruptible = False
            raise KeyboardInterrupt

    def _on_reload_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as above
        self._is_reload_requested = True

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """While it is open, a signal raises KeyboardInterrupt. For work before `run`."""
        if self._stopping:
            raise KeyboardInterrupt
        self._interruptible = True
        try:
            yield
        finally:
            self._interruptible = False

    def run(self, children: Sequence[Child], *, running: Sequence[Child] = ()) -> int:
        """Start `children`, and watch them and those that are already `running` until a signal. Then stop them all."""
        now = time.monotonic()
        self._managed = [
            *(ManagedChild(child, self._restarts(), starts_at=None, started=now) for child in running),
            *(ManagedChild(child, self._restarts()) for child in children),
        ]
        try:
            while not self._stopping:
                self._step()
        finally:
            self._stop()
        return KILLED if self.force_stop and not self._exit_code else self._exit_code

    def _step(self) -> None:
        if self._is_reload_requested:
            self._is_reload_requested = False
            self._reload()
        for managed in self._managed:
            if managed.starts_at is None:
                self._check(managed)
            elif self._may_start(managed):
                self._launch(managed)
        self._report_ready()
        if not self._stopping:
            self._sleep(self._seconds_to_next_step())

    def _reload(self) -> None:
        stages = self.on_reload() if self.on_reload else frozenset()
        for managed in self._managed:
            if managed.child.stage in stages:
                self._restart(managed)
        if stages:
            self._reloading_since = time.monotonic()

    def _restart(self, managed: ManagedChild) -> None:
        managed.restarts = self._restarts()
        if managed.starts_at is None:
            managed.ready = False
            managed.stops_by = time.monotonic() + self._grace
            managed.child.drain()
        else:
            managed.starts_at = 0.0

    def _may_start(self, managed: ManagedChild) -> bool:
        if managed.starts_at is None or time.monotonic() < managed.starts_at:
            return False
        return managed.was_ready or managed.child.stage not in self._after_web or self._is_up(Stage.WEB)

    def _is_up(self, stage: Stage) -> bool:
        return all(managed.ready for managed in self._managed if managed.child.stage is stage)

    def _launch(self, managed: ManagedChild) -> None:
        managed.starts_at, managed.started, managed.ready = None, time.monotonic(), False
        try:
            managed.child.launch()
        except OSError as error:
            self._log.write(f"{managed.child.name} cannot start", reason=error)
            managed.starts_at = time.monotonic() + managed.restarts.pause(0, was_ready=False)

    def _check(self, managed: ManagedChild) -> None:
        code = managed.child.poll()
        if code is not None:
            self._on_exit(managed, code)
        elif managed.stops_by is not None:
            if time.monotonic() > managed.stops_by:
                managed.child.kill()
        elif not managed.ready and managed.child.is_ready():
            managed.ready = managed.was_ready = True

    def _on_exit(self, managed: ManagedChild, code: int) -> None:
        had_been_ready = managed.ready or managed.child.is_ready()  # it may have got ready since the last look
        managed.ready = False
        self._on_child_exit(managed.child.name)
        if managed.stops_by is not None:
            managed.starts_at, managed.stops_by = 0.0, None
            return
        if code == MISCONFIGURED and self.on_reload is not None:
            self._log.write(f"{managed.child.name} cannot work with these settings; waiting for a change")
            managed.starts_at = math.inf
            return
        if code == MISCONFIGURED and not managed.was_ready:
            self._log.write(f"{managed.child.name} cannot work with these settings; stopping")
            self._stopping, self._exit_code = True, MISCONFIGURED
            return
        pause = managed.restarts.pause(time.monotonic() - managed.started, was_ready=had_been_ready)
        managed.starts_at = time.monotonic() + pause
        self._log.write(f"{managed.child.name} ended ({exit_text(code)}); starting it again", after=f"{pause:.2f}s")

    def _report_ready(self) -> None:
        if self._banner_process is not None and self._banner_process.poll() is not None:
            self._banner_process = None
        if self._stopping or not all(managed.ready for managed in self._managed):
            return
        if self._reloading_since is not None:
            self._log.write("reloaded", after=f"{time.monotonic() - self._reloading_since:.1f}s")
            self._reloading_since = None
        if self._is_ready_reported:
            return
        self._is_ready_reported = True
        self._banner_process = self.on_ready()

    def _seconds_to_next_step(self) -> float | None:
        """Return the seconds until the next step without a signal; None if there is none."""
        if any(managed.starts_at is None and not managed.ready for managed in self._managed):
            return READINESS_POLL
        starts = [managed.starts_at for managed in self._managed if managed.starts_at not in (None, math.inf)]
        return max(READINESS_POLL, min(starts) - time.monotonic()) if starts else None

    def _sleep(self, seconds: float | None) -> None:
        """Sleep until a signal arrives (SIGCHLD is one) or `seconds` have passed."""
        if select.select([self._wakeup], [], [], seconds)[0]:
            with contextlib.suppress(BlockingIOError):
                self._wakeup.recv(4096)

    def _stop(self) -> None:
        if self._banner_process is not None:
            self._banner_process.kill()
            self._banner_process.wait()
        for stage in sorted(Stage):
            self._stop_stage([managed.child for managed in self._managed if managed.child.stage is stage])

    def _stop_stage(self, children: list[Child]) -> None:
        live = [child for child in children if _is_alive(child)]
        for child in live:
            child.drain()
        deadline = time.monotonic() + self._grace
        while (live := [child for child in live if _is_alive(child)]) and not self.force_stop:
            left = deadline - time.monotonic()
            if left <= 0:
                self._log.write("not stopped within the grace, killing", names=[child.name for child in live])
                break
            self._sleep(min(left, 0.5))
        self._kill(live)

    def _kill(self, live: list[Child]) -> None:
        for child in live:
            child.kill()
        while live := [child for child in live if _is_alive(child)]:
            self._sleep(0.05)


def _is_ignored(number: signal.Signals) -> bool:
    """Return whether the signal is to stay ignored: `nohup` starts a process with SIGHUP ignored."""
    return number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN


def _is_alive(child: Child) -> bool:
    return child.pid is not None and child.poll() is None


def exit_text(code: int) -> str:
    """Return an exit code as text: `exit code 3`, `SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
