"""Parts of an answer as text. Standard output gets what the agent says, standard error all the rest."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.text import Text as RichText

from robyn_server.terminal import printable

from .parts import Failure, Part, Queued, Repeated, Text, ToolCall, ToolResult
from .questions import Question

_LONGEST = 200
"""Characters of a tool's arguments or result."""


class Display:
    """`is_dialogue`: a terminal reads and writes. Only there, text loses control characters and waiting is shown."""

    def __init__(self, *, is_dialogue: bool) -> None:
        self._is_dialogue = is_dialogue
        self._console = Console(stderr=True, highlight=False)
        self._message_id = ""
        self._is_mid_line = False
        self._waiting: Status | None = None

    def show(self, part: Part) -> None:
        self._stop_waiting()
        match part:
            case Text():
                self._text(part)
            case ToolCall():
                self._line(f"  → {part.text}", "cyan")
            case ToolResult():
                self._line(f"  ← {part.name}: {part.text}", "red" if part.failed else "dim")
            case Failure():
                self.error(part.text)
            case Repeated():
                self._line("  the run's worker is gone; the run is repeated from its last checkpoint", "yellow")
            case Queued():
                self._line(
                    "  the run waits: no worker is free for it, or another run of its thread has not ended", "yellow"
                )
        if not isinstance(part, Text | Failure):
            self.wait("works")

    def wait(self, does: str = "thinks") -> None:
        """Show that an answer is awaited, until something else is shown."""
        if self._is_dialogue and self._console.is_terminal and self._waiting is None:
            self._end_line()
            self._waiting = self._console.status(f"the agent {does} …", spinner="dots", spinner_style="dim")
            self._waiting.start()

    def end(self) -> None:
        """End the answer."""
        self._stop_waiting()
        self._end_line()
        self._message_id = ""

    def leave_prompt(self) -> None:
        """End the line of a prompt that no Enter has ended."""
        sys.stdout.write("\n")
        sys.stdout.flush()

    def error(self, text: str) -> None:
        self.end()
        self._console.print(RichText(f"agenthall: {printable(text)}", style="red"), soft_wrap=True)

    def note(self, text: str, style: str = "dim") -> None:
        self.end()
        self._console.print(RichText(printable(text), style=style), soft_wrap=True)

    def question(self, question: Question) -> None:
        self.note(f"? {question.text}", "bold yellow")

    def _text(self, part: Text) -> None:
        if part.message_id != self._message_id:
            self._end_line()
            self._message_id = part.message_id
        text = printable(part.text) if self._is_dialogue else part.text
        sys.stdout.write(text)
        sys.stdout.flush()
        self._is_mid_line = not text.endswith("\n")

    def _line(self, text: str, style: str) -> None:
        """Write one line that fits the terminal."""
        self._end_line()
        brief = " ".join(printable(text[:_LONGEST]).split()) + (" …" if len(text) > _LONGEST else "")
        fits: dict[str, Any] = (
            {"no_wrap": True, "overflow": "ellipsis"} if self._console.is_terminal else {"soft_wrap": True}
        )
        self._console.print(RichText(f"  {brief}", style=style), **fits)

    def _end_line(self) -> None:
        if self._is_mid_line:
            sys.stdout.write("\n")
            sys.stdout.flush()
            self._is_mid_line = False

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None
