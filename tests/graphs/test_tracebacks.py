"""Tracebacks in the log: frames of the user's own code, nothing where a message says it all."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import asyncpg
import httpx
import psycopg
import pytest

from robyn_server.core.errors import Invalid
from robyn_server.graphs.execution import _error_body
from robyn_server.graphs.tracebacks import MAX_FRAMES, own_traceback
from tools_agent.errors import ModelKeyMissing


def raised(function, *args):
    with pytest.raises(BaseException) as caught:
        function(*args)
    return caught.value


def node(_state):
    return json.loads("{")


def deep(level):
    return deep(level - 1) if level else {}["topic"]


def test_only_frames_of_the_users_code_are_shown():
    text = own_traceback(raised(node, {}))
    assert text is not None
    assert 'return json.loads("{")' in text
    assert "decoder.py" not in text
    assert text.splitlines()[-1].startswith("json.decoder.JSONDecodeError")


@pytest.mark.parametrize(
    "error", [ModelKeyMissing("OPENAI_API_KEY is not set"), Invalid("no"), httpx.ConnectError("no")]
)
def test_an_error_that_no_code_of_the_user_raised_is_its_message(error):
    assert own_traceback(raised_by_library(error)) is None


def raised_by_library(error):
    """The error, as code of an installed package raises it."""
    code = compile("def fail(error):\n    raise error", str(Path(httpx.__file__).parent / "made_up.py"), "exec")
    names: dict = {}
    exec(code, names)
    caught = raised(names["fail"], error)
    caught.__traceback__ = caught.__traceback__.tb_next  # without the frame of this test
    while caught.__traceback__ is not None and "made_up" not in caught.__traceback__.tb_frame.f_code.co_filename:
        caught.__traceback__ = caught.__traceback__.tb_next
    return caught


def fail(error):
    raise error


@pytest.mark.parametrize(
    "kind", [psycopg.errors.DatatypeMismatch, asyncpg.DatatypeMismatchError, psycopg.OperationalError]
)
def test_a_client_gets_no_text_of_the_servers_database(kind):
    text = "column is of type text\nLINE 1: insert into langgraph.checkpoints values ('secret')"
    body = _error_body(raised_by_library(kind(text)))
    assert body["error"] == "RunFailed" and "insert" not in body["message"]
    own = _error_body(raised(fail, kind(text)))
    assert own == {"error": kind.__name__, "message": text}, "the graph's own use of a database is the user's"


def test_a_builtin_exception_inside_a_library_is_shown_with_its_last_frames():
    error = raised(json.dumps, object())
    error.__traceback__ = error.__traceback__.tb_next.tb_next
    text = own_traceback(error)
    assert text is not None
    assert "json/encoder.py" in text


def test_a_long_traceback_is_cut():
    error = raised(deep, 200)
    text = own_traceback(error)
    assert text is not None
    assert text.count("File ") <= MAX_FRAMES
    recursion = raised(deep, sys.getrecursionlimit() * 2)
    assert len((own_traceback(recursion) or "").splitlines()) <= MAX_FRAMES * 3


def test_the_cause_comes_first():
    def fail():
        try:
            node({})
        except ValueError as error:
            raise RuntimeError("the draft cannot be read") from error

    first, second = (own_traceback(raised(fail)) or "").split("which caused:")
    assert "JSONDecodeError" in first
    assert second.rstrip().endswith("RuntimeError: the draft cannot be read")
