"""Read a `langgraph.json`: check every key, and resolve its paths."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from robyn_server.core.errors import Misconfigured
from robyn_server.core.ttl import PruneStrategy

from . import keys

FILE_NAME = "langgraph.json"
_SCRIPT = re.compile(r"\.(?:[cm]?[jt]sx?)$")
_KNOWN = keys.HONOURED | keys.OF_IMAGES


@dataclass(frozen=True, slots=True)
class ProjectGraph:
    """`path`: `module:name` or `/absolute/file.py:name`."""

    path: str
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Project:
    """`folder`: of the file, to which paths are relative. `ignored`: keys without a meaning outside an image.

    `thread_ttl`: `checkpointer.ttl` as variables.
    """

    file: Path
    graphs: Mapping[str, ProjectGraph]
    variables: Mapping[str, str] = field(default_factory=dict)
    env_file: Path | None = None
    dependencies: tuple[str, ...] = ()
    python_version: str | None = None
    cors_origins: tuple[str, ...] | None = None
    store_index: Mapping[str, Any] | None = None
    store_ttl: Mapping[str, Any] | None = None
    auth: str | None = None
    """The path of its handlers, as `ProjectGraph.path`."""
    app: str | None = None
    """The path of its ASGI app, as `ProjectGraph.path`."""
    authenticates_app: bool = False
    """Whether requests of the app's routes are authenticated."""
    middleware_order: str | None = None
    """Whether the app's middleware comes before the authentication: one of `keys.MIDDLEWARE_ORDERS`."""
    thread_ttl: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return self.file.parent

    @property
    def local_dependencies(self) -> list[Path]:
        return [(self.folder / each).resolve() for each in self.dependencies if each.startswith(".")]


def find_project(folder: Path) -> Path | None:
    """The file in `folder`, if there is one."""
    file = folder / FILE_NAME
    return file if file.is_file() else None


def load_project(file: Path) -> Project:
    """Raises Misconfigured with every problem of the file."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"--config: {file} cannot be read: {error}") from None
    except ValueError as error:
        raise Misconfigured(f"{file.name}: not JSON: {error}") from None
    if not isinstance(content, dict):
        raise Misconfigured(f"{file.name}: not a JSON object")
    reader = _Reader(file.absolute(), content)
    project = reader.project()
    if reader.problems:
        raise Misconfigured("\n  ".join([f"{file}:", *reader.problems]))
    return project


class _Reader:
    """Collects problems, and goes on with a value that does no harm."""

    def __init__(self, file: Path, content: Mapping[str, Any]) -> None:
        self.problems: list[str] = []
        self._file = file
        self._content = content

    def project(self) -> Project:
        self._check_keys(self._content, _KNOWN, keys.REFUSED)
        thread_ttl = self._checkpointer()
        store = self._object(self._content, "store")
        self._check_keys(store, {"index", "ttl"}, keys.REFUSED_OF_STORE, "store.")
        variables, env_file = self._env()
        http = self._http()
        return Project(
            file=self._file,
            graphs=self._graphs(),
            variables=variables,
            env_file=env_file,
            dependencies=self._dependencies(),
            python_version=self._text("python_version"),
            cors_origins=self._cors_origins(http),
            store_index=self._store_index(store),
            store_ttl=self._store_ttl(store),
            auth=self._auth(),
            app=self._app(http),
            authenticates_app=self._authenticates_app(http),
            middleware_order=self._middleware_order(http),
            thread_ttl=thread_ttl,
            ignored=(*sorted(self._content.keys() & keys.OF_IMAGES), *self._ignored_of_auth()),
        )

    def _graphs(self) -> dict[str, ProjectGraph]:
        graphs = self._object(self._content, "graphs")
        if not graphs and not any(problem.startswith("graphs:") for problem in self.problems):
            self._say("graphs", 'name at least one: {"agent": "./agent.py:graph"}')
        return {graph_id: graph for graph_id, value in graphs.items() if (graph := self._graph(graph_id, value))}

    def _graph(self, graph_id: str, value: Any) -> ProjectGraph | None:
        name = f"graphs.{graph_id}"
        if isinstance(value, Mapping):
            self._check_keys(value, {"path", "description"}, {}, f"{name}.")
            description = value.get("description")
            if description is not None and not isinstance(description, str):
                self._say(f"{name}.description", "not a text")
            path = value.get("path")
        else:
            path, description = value, None
        resolved = self._graph_path(name, path)
        return None if resolved is None else ProjectGraph(resolved, description)

    def _graph_path(self, name: str, path: Any, elsewhere: str = keys.GRAPH_ELSEWHERE) -> str | None:
        """`elsewhere`: what to do instead with a file of JavaScript."""
        where, colon, attribute = path.rpartition(":") if isinstance(path, str) else ("", "", "")
        if not (where and colon and attribute):
            self._say(name, "not `./path/to/file.py:name` or `module:name`")
            return None
        if _SCRIPT.search(where):
            self._say(name, f"{where} is JavaScript; {elsewhere}")
            return None
        if not where.endswith(".py"):
            return f"{where}:{attribute}"
        file = (self._file.parent / where).resolve()
        if not file.is_file():
            self._say(name, f"no such file: {file}")
            return None
        return f"{file}:{attribute}"

    def _env(self) -> tuple[dict[str, str], Path | None]:
        value = self._content.get("env")
        if isinstance(value, str):
            file = (self._file.parent / value).resolve()
            if not file.is_file():
                self._say("env", f"no such file: {file}")
                return {}, None
            return {}, file
        variables = self._object(self._content, "env")
        wrong = [name for name, each in variables.items() if not isinstance(each, str | int | float)]
        if wrong:
            self._say("env", f"not a text or a number: {', '.join(wrong)}")
        return {name: str(each) for name, each in variables.items() if name not in wrong}, None

    def _dependencies(self) -> tuple[str, ...]:
        value = self._content.get("dependencies", [])
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            self._say("dependencies", "not a list of texts")
            return ()
        for each in value:
            if each.startswith(".") and not (self._file.parent / each).is_dir():
                self._say("dependencies", f"no such folder: {(self._file.parent / each).resolve()}")
        return tuple(value)

    def _http(self) -> Mapping[str, Any]:
        http = self._object(self._content, "http")
        self._check_keys(http, {"cors", *keys.OF_APP, *keys.DISABLING}, keys.REFUSED_OF_HTTP, "http.")
        for name in sorted(keys.DISABLING & http.keys()):
            if http[name] and name not in keys.DISABLING_ABSENT:
                self._say(
                    f"http.{name}", "these endpoints cannot be switched off; refuse them in the proxy before the server"
                )
        return http

    def _app(self, http: Mapping[str, Any]) -> str | None:
        app = http.get("app")
        return None if app is None else self._graph_path("http.app", app, keys.APP_ELSEWHERE)

    def _authenticates_app(self, http: Mapping[str, Any]) -> bool:
        value = http.get("enable_custom_route_auth", False)
        if not isinstance(value, bool):
            self._say("http.enable_custom_route_auth", "not true or false")
        elif value and http.get("app") is None:
            self._say("http.enable_custom_route_auth", "there is no `http.app` whose routes it would protect")
        return value is True

    def _middleware_order(self, http: Mapping[str, Any]) -> str | None:
        order = http.get("middleware_order")
        if order is not None and order not in keys.MIDDLEWARE_ORDERS:
            self._say("http.middleware_order", f"not {' or '.join(f'`{each}`' for each in keys.MIDDLEWARE_ORDERS)}")
        elif order is not None and http.get("app") is None:
            self._say("http.middleware_order", "there is no `http.app` whose middleware it would order")
        return order

    def _cors_origins(self, http: Mapping[str, Any]) -> tuple[str, ...] | None:
        cors = self._object(http, "cors", "http.")
        self._check_keys(
            cors, {"allow_origins", *keys.CORS_OPEN, *keys.CORS_IGNORED}, keys.REFUSED_OF_CORS, "http.cors."
        )
        for name in sorted(keys.CORS_OPEN & cors.keys()):
            if "*" not in self._texts(cors, name, "http.cors."):
                self._say(f"http.cors.{name}", 'cannot be narrowed: every one is allowed. Use `["*"]`, or a proxy')
        return tuple(self._texts(cors, "allow_origins", "http.cors.")) if "allow_origins" in cors else None

    def _store_index(self, store: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The values are checked with the settings."""
        index = self._object(store, "index", "store.")
        self._check_keys(index, {"dims", "embed", "fields"}, {}, "store.index.")
        if not index:
            return None
        embed = index.get("embed")
        is_file = isinstance(embed, str) and ".py:" in embed
        return {**index, "embed": self._graph_path("store.index.embed", embed)} if is_file else index

    def _store_ttl(self, store: Mapping[str, Any]) -> Mapping[str, Any] | None:
        ttl = self._object(store, "ttl", "store.")
        self._check_keys(ttl, {"default_ttl", "refresh_on_read", keys.SWEEP_INTERVAL}, {}, "store.ttl.")
        return {name: value for name, value in ttl.items() if name != keys.SWEEP_INTERVAL} or None

    def _auth(self) -> str | None:
        auth = self._object(self._content, "auth")
        self._check_keys(auth, {"path", *keys.IGNORED_OF_AUTH}, {}, "auth.")
        return self._graph_path("auth.path", auth.get("path")) if auth else None

    def _ignored_of_auth(self) -> list[str]:
        """Without `disable_studio_auth: true`, which says what is done."""
        given = self._object(self._content, "auth")
        return sorted(f"auth.{name}" for name in keys.IGNORED_OF_AUTH & given.keys() if given[name] is not True)

    def _checkpointer(self) -> dict[str, str]:
        checkpointer = self._object(self._content, "checkpointer")
        refused = keys.REFUSED_OF_CHECKPOINTER
        self._check_keys(checkpointer, {"backend", "ttl"}, refused, "checkpointer.")
        if checkpointer.get("backend", "default") != "default":
            self._say("checkpointer.backend", "only `default`, the server's PostgreSQL, is offered")
        return self._thread_ttl(self._object(checkpointer, "ttl", "checkpointer."))

    def _thread_ttl(self, ttl: Mapping[str, Any]) -> dict[str, str]:
        prefix = "checkpointer.ttl."
        self._check_keys(ttl, keys.OF_THREAD_TTL, {}, prefix)
        given = {name: value for name, value in ttl.items() if name in keys.OF_THREAD_TTL and value is not None}
        for name, value in given.items():
            if name == "strategy" and value not in list(PruneStrategy):
                self._say(prefix + name, "not `delete` or `keep_latest`")
            if name != "strategy" and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
                self._say(prefix + name, "not a number above 0")
        return {keys.OF_THREAD_TTL[name]: str(value) for name, value in given.items()}

    def _check_keys(
        self, value: Mapping[str, Any], known: Collection[str], refused: Mapping[str, str], prefix: str = ""
    ) -> None:
        for name in value:
            if name in refused:
                self._say(prefix + name, refused[name])
            elif name not in known:
                near = get_close_matches(name, [*known, *refused], n=1)
                self._say(prefix + name, "unknown" + (f"; did you mean {near[0]!r}?" if near else ""))

    def _object(self, value: Mapping[str, Any], name: str, prefix: str = "") -> Mapping[str, Any]:
        found = value.get(name)
        if found is None:
            return {}
        if not isinstance(found, Mapping):
            self._say(prefix + name, "not a JSON object")
            return {}
        return found

    def _text(self, name: str) -> str | None:
        found = self._content.get(name)
        if found is not None and not isinstance(found, str):
            self._say(name, "not a text")
            return None
        return found

    def _texts(self, value: Mapping[str, Any], name: str, prefix: str) -> list[str]:
        found = value.get(name)
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            self._say(prefix + name, "not a list of texts")
            return ["*"]
        return found

    def _say(self, name: str, problem: str) -> None:
        self.problems.append(f"{name}: {problem}")
