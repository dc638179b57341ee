"""The parent of all processes of one `serve`.

Rules:

1. A child that dies is started again, after a pause that grows with each death (`restarts.py`).
2. A child that was never ready and ends with exit code 2 says that the settings are wrong. No restart mends that:
   everything is stopped, and our own exit code is 2.
3. The first SIGINT, SIGTERM or SIGHUP drains: children are asked to leave, stage by stage; who is still there after
   the grace is killed. A second signal kills at once.
4. Everything happens in the main thread: the children's death signal belongs to the thread that spawned them
   (`lifeline.py`), and a process with one thread may fork. Between events the process sleeps in `select`.
"""

from __future__ import annotations

import contextlib
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
from .journal import Journal
from .restarts import Restarts

MISCONFIGURED = 2
"""Exit code of a child whose settings are wrong, and of `serve` because of it."""

KILLED = 130
"""Exit code after a second signal: 128 + SIGINT, as shells have it."""

READINESS_POLL = 0.02
"""Seconds between looks at children that are not yet ready."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class _Watched:
    """A child under supervision. Times are of `time.monotonic`; `due` is when it may start, None while it runs."""

    child: Child
    restarts: Restarts = field(default_factory=Restarts)
    due: float | None = 0.0
    started: float = 0.0
    ready: bool = False
    was_ever_ready: bool = False


class Supervisor:
    """Used as a context: inside, the signals are ours. `run` returns the exit code.

    `grace` is in seconds, for each stage. `on_ready` is called once, when every child is ready; the process that it
    may return is reaped when it ends, and does not outlive `run`.
    Children of the stages in `late` start when those of stage web are ready: they would only take processor time
    from them before. `on_death` is given the name of each child that has ended and is not being stopped.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        grace: float,
        on_ready: Callable[[], subprocess.Popen[str] | None] = lambda: None,
        late: frozenset[Stage] = frozenset({Stage.DEMO}),
        restarts: Callable[[], Restarts] = Restarts,
        on_death: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._journal = journal
        self._grace = grace
        self.on_ready = on_ready
        self._late = late
        self._restarts = restarts
        self._on_death = on_death
        self._watched: list[_Watched] = []
        self._stopping = self.hurried = self._interruptible = False
        self._code = 0
        self._told_ready = False
        self._errand: subprocess.Popen[str] | None = None

    # signals

    def __enter__(self) -> Self:
        self._wakeup, self._waker = socket.socketpair()
        for end in (self._wakeup, self._waker):
            end.setblocking(False)
        heard = [number for number in STOP_SIGNALS if not _is_set_aside(number)]
        self._previous = {number: signal.signal(number, self._on_signal) for number in heard}
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
        self.hurried = self._stopping
        self._stopping = True
        if self._interruptible:
            self._interruptible = False
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Inside, a signal raises KeyboardInterrupt: for work that is waited for before `run`."""
        if self._stopping:
            raise KeyboardInterrupt
        self._interruptible = True
        try:
            yield
        finally:
            self._interruptible = False

    # supervision

    def run(self, children: Sequence[Child], *, running: Sequence[Child] = ()) -> int:
        """Start `children`, watch them and those that are `running` already, until a signal; then stop them all."""
        now = time.monotonic()
        self._watched = [
            *(_Watched(child, self._restarts(), due=None, started=now) for child in running),
            *(_Watched(child, self._restarts()) for child in children),
        ]
        try:
            while not self._stopping:
                self._step()
        finally:
            self._stop()
        return KILLED if self.hurried and not self._code else self._code

    def _step(self) -> None:
        for watched in self._watched:
            if watched.due is None:
                self._look_at(watched)
            elif self._may_start(watched):
                self._launch(watched)
        self._tell_ready()
        if not self._stopping:
            self._sleep(self._next_look())

    def _may_start(self, watched: _Watched) -> bool:
        if watched.due is None or time.monotonic() < watched.due:
            return False
        return watched.was_ever_ready or watched.child.stage not in self._late or self._is_up(Stage.WEB)

    def _is_up(self, stage: Stage) -> bool:
        return all(watched.ready for watched in self._watched if watched.child.stage is stage)

    def _launch(self, watched: _Watched) -> None:
        watched.due, watched.started, watched.ready = None, time.monotonic(), False
        try:
            watched.child.launch()
        except OSError as error:
            self._journal.note(f"{watched.child.name} cannot start", reason=error)
            watched.due = time.monotonic() + watched.restarts.pause(0)

    def _look_at(self, watched: _Watched) -> None:
        code = watched.child.poll()
        if code is not None:
            self._bury(watched, code)
        elif not watched.ready and watched.child.is_ready():
            watched.ready = watched.was_ever_ready = True

    def _bury(self, watched: _Watched, code: int) -> None:
        watched.ready = False
        self._on_death(watched.child.name)
        if code == MISCONFIGURED and not watched.was_ever_ready:
            self._journal.note(f"{watched.child.name} cannot work with these settings; stopping")
            self._stopping, self._code = True, MISCONFIGURED
            return
        pause = watched.restarts.pause(time.monotonic() - watched.started)
        watched.due = time.monotonic() + pause
        self._journal.note(f"{watched.child.name} ended ({exit_text(code)}); starting it again", after=f"{pause:.2f}s")

    def _tell_ready(self) -> None:
        if self._errand is not None and self._errand.poll() is not None:
            self._errand = None
        if self._told_ready or self._stopping or not all(watched.ready for watched in self._watched):
            return
        self._told_ready = True
        self._errand = self.on_ready()

    def _next_look(self) -> float | None:
        """Seconds until something is due without a signal; None when nothing is."""
        if any(watched.due is None and not watched.ready for watched in self._watched):
            return READINESS_POLL
        dues = [watched.due for watched in self._watched if watched.due is not None]
        return max(READINESS_POLL, min(dues) - time.monotonic()) if dues else None

    def _sleep(self, seconds: float | None) -> None:
        """Until a signal arrives (SIGCHLD is one) or `seconds` have passed."""
        if select.select([self._wakeup], [], [], seconds)[0]:
            with contextlib.suppress(BlockingIOError):
                self._wakeup.recv(4096)

    # stop

    def _stop(self) -> None:
        if self._errand is not None:
            self._errand.kill()
            self._errand.wait()
        for stage in sorted(Stage):
            self._stop_stage([watched.child for watched in self._watched if watched.child.stage is stage])

    def _stop_stage(self, children: list[Child]) -> None:
        living = [child for child in children if _lives(child)]
        for child in living:
            child.drain()
        deadline = time.monotonic() + self._grace
        while (living := [child for child in living if _lives(child)]) and not self.hurried:
            left = deadline - time.monotonic()
            if left <= 0:
                self._journal.note("not gone within the grace, killing", names=[child.name for child in living])
                break
            self._sleep(min(left, 0.5))
        self._kill(living)

    def _kill(self, living: list[Child]) -> None:
        for child in living:
            child.kill()
        while living := [child for child in living if _lives(child)]:
            self._sleep(0.05)


def _is_set_aside(number: signal.Signals) -> bool:
    """`nohup` starts us with SIGHUP ignored, and means it."""
    return number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN


def _lives(child: Child) -> bool:
    return child.pid is not None and child.poll() is None


def exit_text(code: int) -> str:
    """An exit code for people: `exit code 3`, `SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
