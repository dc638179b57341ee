"""Tracebacks of failed runs, for the log: the frames of the user's own code."""

from __future__ import annotations

import builtins
import site
import sysconfig
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import robyn_server

MAX_FRAMES = 20
FRAMES_WITHOUT_OWN = 5
"""Shown of a built-in exception that has no frame of the user's."""

_DRIVERS = frozenset({"psycopg", "asyncpg"})

_SERVER = Path(robyn_server.__path__[0])
_LIBRARIES = tuple(
    f"{folder}/"
    for folder in {
        *site.getsitepackages(),
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        str(_SERVER),
        str(_SERVER.parent / "tools_agent"),
    }
)


def own_traceback(error: BaseException) -> str | None:
    """The frames of `error` outside of installed packages and this server, the latest last, and those of its cause.

    None if there are none: then the message tells what is wrong, such as a missing key or a refusal of a provider. Of a
    built-in exception, such as TypeError, the last frames are returned instead, and of a syntax error the line.
    """
    if isinstance(error, SyntaxError):
        return "".join(traceback.format_exception_only(error)).rstrip()
    own = _own_frames(error)
    if not own:
        own = _last_frames(error) if type(error).__module__ == builtins.__name__ else []
    if not own:
        return None
    text = f"Traceback (most recent call last):\n{_format(own[-MAX_FRAMES:])}{describe(error)}"
    cause = error.__cause__
    return text if cause is None else f"{own_traceback(cause) or describe(cause)}\n\nwhich caused:\n\n{text}"


def own_frames(error: BaseException) -> list[dict[str, str | int]]:
    """The frames of the user's code, the latest last, as {file, line, function}. Of a file, two names of its path."""
    return [
        {
            "file": "/".join(Path(frame.f_code.co_filename).parts[-2:]),
            "line": line,
            "function": frame.f_code.co_name,
        }
        for frame, line in _own_frames(error)[-MAX_FRAMES:]
    ]


def _own_frames(error: BaseException) -> list[tuple[FrameType, int]]:
    frames = traceback.walk_tb(error.__traceback__)
    return [frame for frame in frames if not frame[0].f_code.co_filename.startswith(_LIBRARIES)]


def _last_frames(error: BaseException) -> list[tuple[FrameType, int]]:
    return list(traceback.walk_tb(error.__traceback__))[-FRAMES_WITHOUT_OWN:]


def is_of_the_server(error: BaseException) -> bool:
    """Whether an error of a database driver was raised by the server's own statements, such as those of checkpoints.

    Its text has pieces of statements, which are not for clients. A graph's own use of a database is the user's.
    """
    kinds = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return not kinds.isdisjoint(_DRIVERS) and own_traceback(error) is None


def describe(error: BaseException) -> str:
    """The type and the message, without the notes that LangGraph adds."""
    kind, text = type(error), str(error)
    name = kind.__qualname__ if kind.__module__ == builtins.__name__ else f"{kind.__module__}.{kind.__qualname__}"
    return f"{name}: {text}" if text else name


def _format(frames: Sequence[tuple[FrameType, int]]) -> str:
    return "".join(traceback.StackSummary.extract(iter(frames)).format())
