"""An app is loaded from a file or a module, and what cannot be served is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from servers.live_server import SAMPLES

from robyn_server.core.errors import Misconfigured
from robyn_server.web.asgi.loading import load_app
from robyn_server.web.asgi.middleware import middleware_names

APP = f"{SAMPLES.with_name('http_apps') / 'web_app.py'}:app"


def test_an_app_is_loaded_from_a_file_or_a_module() -> None:
    assert middleware_names(load_app(APP)) == ["Stamp"]
    assert callable(load_app("served.http_apps.web_app:app"))
    assert middleware_names(load_app("builtins:print")) == []


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("app = {}", "it is of type dict, not an ASGI app"),
        ("class app: ...", "it is the class app, not an ASGI app"),
        ("other = 1", "has no attribute 'app'"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def app(: ...", "SyntaxError"),
        (
            "from starlette.routing import *; app = Router([Mount('/live', routes=[WebSocketRoute('/feed', print)])])",
            "the WebSocket '/feed' is not offered. Send server-sent events",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_with_its_setting_and_file(tmp_path: Path, source: str, reason: str) -> None:
    file = tmp_path / "webapp.py"
    file.write_text(source)
    with pytest.raises(Misconfigured) as refused:
        load_app(f"{file}:app")
    assert refused.value.field == "AGENTHALL_HTTP_APP"
    assert all(part in str(refused.value) for part in ("http.app", str(file), reason))


@pytest.mark.parametrize("path", ["webapp", ":app", "webapp:"])
def test_a_path_without_a_module_and_a_name_is_refused(path: str) -> None:
    with pytest.raises(Misconfigured, match="module:name"):
        load_app(path)
