"""Handlers that this server does not honour stop the start, with their name."""

from __future__ import annotations

from pathlib import Path

import pytest

from robyn_server.core.errors import Misconfigured
from robyn_server.identity.handlers.loading import Handlers, load_handlers

HEAD = """
from langgraph_sdk import Auth
auth = Auth()

@auth.authenticate
async def authenticate(authorization: str) -> str:
    return authorization

async def handler(ctx, value):
    return None
"""


def load(folder: Path, text: str) -> Handlers:
    (folder / "auth.py").write_text(HEAD + text)
    return load_handlers(f"{folder / 'auth.py'}:auth")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("auth.on.crons(handler)", "@auth.on.crons: this server does not offer 'crons'"),
        ("auth.on.crons.create(handler)", "@auth.on.crons: this server does not offer 'crons'"),
        ("auth.on(resources='files')(handler)", "@auth.on.files: this server does not offer 'files'"),
        ("auth.on(resources='threads', actions='put')(handler)", "@auth.on.threads.put: 'put' is no action"),
        ("auth.on(actions='reed')(handler)", "@auth.on.*.reed: 'reed' is no action"),
        ("auth = Auth()", "it has no handler @auth.authenticate"),
        ("auth = 'me'", "it is of type str, not a langgraph_sdk.Auth object"),
        ("del auth", "has no attribute 'auth'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("@auth.on\ndef sync(ctx, value): ...", "must be an async function"),
        (
            "auth = Auth()\n@auth.authenticate\nasync def other(token): ...",
            "@auth.authenticate has the parameter 'token'. There are authorization, body, headers, method",
        ),
    ],
)
def test_a_project_is_refused_by_name(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        load(tmp_path, text)
    assert problem in refused.value.detail
    assert refused.value.field == "AGENTHALL_AUTH"


@pytest.mark.parametrize("path", ["auth", ":auth", "missing_module:auth", "/no/such/file.py:auth"])
def test_a_wrong_path_is_refused(path: str) -> None:
    with pytest.raises(Misconfigured, match="AGENTHALL_AUTH"):
        load_handlers(path)


def test_the_most_specific_handler_wins(tmp_path: Path) -> None:
    names = {
        "everything": "@auth.on",
        "reads": "@auth.on(actions='read')",
        "threads": "@auth.on.threads",
        "read": "@auth.on.threads.read",
    }
    found = load(tmp_path, "\n".join(f"{how}\nasync def {name}(ctx, value): ..." for name, how in names.items()))

    def name(resource: str, action: str) -> str:
        return getattr(found.find(resource, action), "__name__", "none")

    assert name("threads", "read") == "read"
    assert name("threads", "create_run") == "threads"
    assert name("assistants", "read") == "reads"
    assert name("store", "put") == "everything"


def test_nothing_decides_about_an_action_without_a_handler(tmp_path: Path) -> None:
    found = load(tmp_path, "auth.on.threads.create(handler)")
    assert found.find("threads", "read") is None
    assert found.names == ["threads.create"]
    assert found.parameters == {"authorization"}
