"""Commands that ask a running server."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import typer

from .options import DATA_DIR, ApiKey, Tenant, Url, Where

Connect = Callable[[str | None, str | None, str | None, Path], AbstractContextManager[Any]]
"""Takes `--url`, `--api-key`, `--tenant` and `--data-dir`."""
Command = TypeVar("Command", bound=Callable[..., None])

_OPTIONS = {"url": (Url, None), "api_key": (ApiKey, None), "tenant": (Tenant, None), "data_dir": (Where, DATA_DIR)}


def server_command(app: typer.Typer, name: str, connect: Connect) -> Callable[[Command], Command]:
    """Make a function the command `name` of `app`, with the options that lead to a server.

    Its first parameter is the open connection, the others are its own arguments and options.
    """

    def register(function: Command) -> Command:
        connection, *own = inspect.signature(function).parameters.values()
        hints = get_type_hints(function, localns={str(connection.annotation): object}, include_extras=True)

        def command(*, url: str | None, api_key: str | None, tenant: str | None, data_dir: Path, **given: Any) -> None:
            with connect(url, api_key, tenant, data_dir) as connected:
                function(connected, **given)

        parameters = [each.replace(annotation=hints[each.name], kind=each.KEYWORD_ONLY) for each in own]
        for option, (annotation, default) in _OPTIONS.items():
            parameters.append(
                inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            )
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in parameters}
        command.__doc__ = function.__doc__
        app.command(name)(command)
        return function

    return register
