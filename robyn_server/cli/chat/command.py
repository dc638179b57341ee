"""The command `agenthall chat`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, TextIO, cast

import typer

from robyn_server.cli.options import DATA_DIR, ApiKey, Tenant, Url, Where

if TYPE_CHECKING:
    from .conversation import Conversation, Outcome

ASKS = 3
"""Exit code of a script whose agent asks a question."""

CANCELLED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as in shells."""


def chat(
    agent: Annotated[
        str,
        typer.Argument(
            metavar="AGENT", help="A graph's name, an assistant's id, or an agent's name if only one has it."
        ),
    ],
    thread: Annotated[str | None, typer.Option(metavar="ID", help="Continue this thread. Unset: a new one.")] = None,
    once: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Send this message, and end after the answer.")
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
    tenant: Tenant = None,
    data_dir: Where = DATA_DIR,
) -> None:
    """Talk to an agent. Ctrl-C cancels an answer, Ctrl-D ends the conversation, which `--thread` continues.

    With --once, or with a message on standard input, send one message. Standard output gets only what the agent says.

    Exit code 3: the agent asks a question. The next message to the thread is the answer.
    """
    from robyn_server.cli.http.address import server_address
    from robyn_server.cli.http.api import ApiClient

    from .conversation import Conversation, Outcome

    signal.signal(signal.SIGTERM, _terminate)
    message = _message(once)
    _replace_unencodable(sys.stdin, sys.stdout, sys.stderr)
    try:
        with ApiClient(server_address(url, data_dir), api_key, tenant) as api:
            conversation = Conversation(api, api.find_assistant(agent), thread)
            outcome = Outcome() if thread is None else conversation.outcome()
            talk = _talk if message is None else partial(_once, message)
            code = talk(conversation, outcome, agent)
    except KeyboardInterrupt:
        raise typer.Exit(CANCELLED) from None
    raise typer.Exit(code)


def _terminate(*_: object) -> None:
    from .session import Terminated

    raise Terminated


def _message(once: str | None) -> str | None:
    """Return the message of a script, or None if a person types. Raises Misconfigured if there is none."""
    from robyn_server.core.errors import Misconfigured

    if once is None and sys.stdin.isatty():
        return None
    origin = "standard input" if once is None else "--once"
    try:
        text = sys.stdin.buffer.read().decode() if once is None else once.encode().decode()
    except UnicodeError:
        raise Misconfigured(f"{origin}: the message is not UTF-8 text") from None
    if not text.strip():
        raise Misconfigured(f"{origin}: the message is empty; use --once TEXT, or a terminal")
    return text.strip() if once is None else text


def _replace_unencodable(*streams: TextIO) -> None:
    """Read and write a replacement for characters that the terminal's encoding lacks."""
    for stream in streams:
        if callable(reconfigure := getattr(stream, "reconfigure", None)):
            cast("Callable[..., None]", reconfigure)(errors="replace")


def _once(message: str, conversation: Conversation, outcome: Outcome, agent: str) -> int:
    from robyn_server.core.errors import Conflict

    from .display import Display
    from .session import Cancelled, Session

    if len(outcome.asked) > 1:
        raise Conflict(f"the agent asks {len(outcome.asked)} questions; answer them in a terminal, without --once")
    display = Display(is_dialogue=False)
    try:
        outcome = Session(conversation, display).once(message, outcome)
    except Cancelled:
        return CANCELLED
    if outcome.error:
        return 1
    for question in outcome.asked:
        display.question(question)
    if outcome.asked:
        display.note(f"answer with: {_again(conversation, agent)} --once TEXT")
    return ASKS if outcome.asked else 0


def _talk(conversation: Conversation, outcome: Outcome, agent: str) -> int:
    from .display import Display
    from .session import Session

    display = Display(is_dialogue=True)
    display.note(_title(conversation), "bold")
    display.note("Ctrl-C cancels an answer, Ctrl-D ends the conversation.")
    Session(conversation, display).talk(_ask, outcome)
    if conversation.has_begun:
        display.note(f"Continue with: {_again(conversation, agent)}")
    return 0


def _title(conversation: Conversation) -> str:
    described = conversation.assistant.get("description")
    return str(conversation.assistant["name"]) + (f": {described}" if described else "")


def _again(conversation: Conversation, agent: str) -> str:
    import shlex

    return f"agenthall chat {shlex.quote(agent)} --thread {conversation.thread_id}"


def _ask(prompt: str) -> str:
    """Read a line with the editing keys and the history of readline."""
    import contextlib

    from robyn_server.terminal import has_colour

    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - `input` uses it
    if not sys.stdout.isatty():
        sys.stderr.write(f"{prompt}> ")
        sys.stderr.flush()
        return input()
    if not has_colour(sys.stdout):
        return input(f"{prompt}> ")
    # \1 and \2 tell readline that the text between them has no width
    return input(f"\1\x1b[1;32m\2{prompt}>\1\x1b[0m\2 ")
