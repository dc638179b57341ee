"""The dialogue: read a line, follow the run, ask what it asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from robyn_server.core.errors import AgenthallError, NotFound

from .conversation import Conversation, Outcome
from .display import Display
from .parts import Failure, Part
from .questions import resume

Ask = Callable[[str], str]
"""Shows a prompt and returns a line. Raises EOFError at the end of the input, KeyboardInterrupt at Ctrl-C."""

MESSAGE = "you"
ANSWER = "answer"


class Cancelled(Exception):
    """Ctrl-C ended the run."""


class Terminated(KeyboardInterrupt):
    """SIGTERM ends the run and the conversation."""


class Session:
    def __init__(self, conversation: Conversation, display: Display) -> None:
        self._conversation = conversation
        self._display = display

    def once(self, text: str, outcome: Outcome) -> Outcome:
        """Send one message, or answer the one open question. Raises Cancelled."""
        return self._follow(self._reply(text, outcome))

    def talk(self, ask: Ask, outcome: Outcome) -> None:
        """Talk until the end of the input, or until Ctrl-C at two prompts in a row."""
        interrupted = False
        while True:
            try:
                parts = self._next(ask, outcome)
                interrupted = False
            except EOFError:
                return self._display.leave_prompt()
            except Terminated:
                raise
            except KeyboardInterrupt:
                self._display.leave_prompt()
                if interrupted:
                    return None
                interrupted = True
                self._display.note("Ctrl-D or another Ctrl-C ends the conversation")
                continue
            if parts is not None:
                outcome = self._safely_follow(parts, outcome)

    def _next(self, ask: Ask, outcome: Outcome) -> Iterator[Part] | None:
        """Ask for what the conversation needs next. Return the run that it makes, or None for an empty message."""
        if outcome.asked:
            answers = []
            for question in outcome.asked:
                self._display.question(question)
                answers.append(question.parse(ask(ANSWER)))
            return self._conversation.answer(resume(outcome.asked, answers))
        if outcome.is_paused:
            self._display.note("The run paused at a breakpoint. Enter goes on. A message starts again.", "yellow")
        text = ask(MESSAGE).strip()
        if not text:
            return self._conversation.go_on() if outcome.is_paused else None
        return self._conversation.say(text)

    def _reply(self, text: str, outcome: Outcome) -> Iterator[Part]:
        if not outcome.asked:
            return self._conversation.say(text)
        answers = [question.parse(text) for question in outcome.asked]
        return self._conversation.answer(resume(outcome.asked, answers))

    def _safely_follow(self, parts: Iterator[Part], before: Outcome) -> Outcome:
        """Follow a run.

        An error is shown, and the conversation goes on, with the questions of `before` if they are still open.
        """
        try:
            return self._follow(parts)
        except Cancelled:
            self._display.note("cancelled; the conversation goes on")
        except AgenthallError as error:
            self._display.error(str(error))
        try:
            return self._conversation.outcome()
        except NotFound:
            return Outcome()
        except AgenthallError:
            return before

    def _follow(self, parts: Iterator[Part]) -> Outcome:
        failure = ""
        try:
            self._display.wait()
            for part in parts:
                self._display.show(part)
                failure = part.text if isinstance(part, Failure) else failure
        except KeyboardInterrupt as interrupt:
            self._display.note("stopping …")
            self._conversation.cancel()
            if isinstance(interrupt, Terminated):
                raise
            raise Cancelled from None
        finally:
            self._display.end()
        outcome = self._conversation.outcome()
        if outcome.error and not failure:
            self._display.error(outcome.error)
        return Outcome(outcome.asked, outcome.is_paused, failure or outcome.error)
