"""`langgraph.json`: every key is honoured, has no meaning here, or is refused by name."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from robyn_server.core.errors import Misconfigured
from robyn_server.projects import Project, apply_project, find_project, keys, load_project, use_project
from robyn_server.projects.environment import import_paths, project_environment
from robyn_server.projects.requirements import missing_requirements, other_python


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "agent.py").write_text("graph = None\n")
    (tmp_path / "lib" / "src").mkdir(parents=True)
    (tmp_path / ".env").write_text("# a comment\nTOKEN='a b'\nexport MODE=two\nEMPTY=\nBARE\n")
    return tmp_path


GRAPHS = {"chat": "./agent.py:graph"}


def write(folder: Path, **content: Any) -> Path:
    file = folder / "langgraph.json"
    file.write_text(json.dumps({"graphs": GRAPHS, **content}))
    return file


def load(folder: Path, **content: Any) -> Project:
    return load_project(write(folder, **content))


def variables(folder: Path, environment: dict[str, str] | None = None, **content: Any) -> dict[str, str]:
    return project_environment(load(folder, **content), environment or {})


def test_graphs_are_files_modules_or_objects_with_a_description(folder: Path) -> None:
    graphs = {"a": "./agent.py:graph", "b": "package.module:make", "c": {"path": "agent.py:graph", "description": "C."}}
    file = f"{folder / 'agent.py'}:graph"
    assert json.loads(variables(folder, graphs=graphs)["AGENTHALL_GRAPHS"]) == {
        "a": file,
        "b": "package.module:make",
        "c": {"path": file, "description": "C."},
    }


def test_handlers_are_a_file_or_a_module_and_no_variable_replaces_them(folder: Path) -> None:
    (folder / "auth.py").write_text("auth = None\n")
    given = {"AGENTHALL_AUTH": "other:auth"}
    of_file = variables(folder, given, auth={"path": "./auth.py:auth", "disable_studio_auth": True})
    assert of_file["AGENTHALL_AUTH"] == f"{folder / 'auth.py'}:auth"
    assert variables(folder, auth={"path": "my.auth:handlers"})["AGENTHALL_AUTH"] == "my.auth:handlers"
    assert "AGENTHALL_AUTH" not in variables(folder)


def test_keys_of_auth_that_let_nobody_in_are_named_and_have_no_effect(folder: Path) -> None:
    auth = {"path": "a:b", "cache": {}, "disable_studio_auth": False, "openapi": {}}
    assert load(folder, auth=auth).ignored == ("auth.cache", "auth.disable_studio_auth", "auth.openapi")
    assert load(folder, auth={"path": "a:b", "disable_studio_auth": True}).ignored == ()


@pytest.mark.parametrize(
    ("auth", "problem"),
    [
        ({"path": "./missing.py:auth"}, "auth.path: no such file"),
        ({"path": "./auth.ts:auth"}, "auth.path: ./auth.ts is JavaScript"),
        ({"path": "auth"}, "auth.path: not"),
        ({"disable_studio_auth": True}, "auth.path: not"),
        ({"path": "a:b", "disable_studio": True}, "auth.disable_studio: unknown; did you mean 'disable_studio_auth'?"),
        ("./auth.py:auth", "auth: not a JSON object"),
    ],
)
def test_what_auth_says_is_done_or_refused(folder: Path, auth: Any, problem: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        load(folder, auth=auth)
    assert problem in refused.value.detail


def test_env_may_be_a_file_or_an_object_and_a_variable_that_is_set_wins(folder: Path) -> None:
    of_file = variables(folder, {"MODE": "one"}, env=".env")
    assert (of_file["TOKEN"], of_file["EMPTY"], "MODE" in of_file, "BARE" in of_file) == ("a b", "", False, False)
    of_object = variables(folder, {"MODE": "one"}, env={"MODE": "two", "RETRIES": 3})
    assert ("MODE" in of_object, of_object["RETRIES"]) == (False, "3")


def test_modules_are_imported_from_the_folder_and_from_local_dependencies(folder: Path) -> None:
    project = load(folder, dependencies=[".", "./lib", "langchain-core"])
    assert import_paths(project) == [folder, folder / "lib", folder / "lib" / "src"]
    path = project_environment(project, {"PYTHONPATH": "/theirs"})["PYTHONPATH"]
    assert path == f"{folder}:{folder / 'lib'}:{folder / 'lib' / 'src'}:/theirs"


def test_origins_of_browsers_become_the_setting(folder: Path) -> None:
    cors = {"allow_origins": ["https://a.example", "https://b.example"], "allow_methods": ["*"], "max_age": 60}
    added = variables(folder, http={"cors": cors, "disable_mcp": True})
    assert added["AGENTHALL_CORS_ORIGINS"] == "https://a.example,https://b.example"
    assert "AGENTHALL_CORS_ORIGINS" not in variables(folder)


def test_the_app_of_a_project_becomes_a_setting_that_the_environment_overrides(folder: Path) -> None:
    (folder / "web.py").write_text("app = None\n")
    http = {"app": "./web.py:app", "middleware_order": "auth_first", "enable_custom_route_auth": False}
    of_file = variables(folder, http=http)
    assert of_file["AGENTHALL_HTTP_APP"] == f"{folder / 'web.py'}:app"
    assert "AGENTHALL_HTTP_APP_AUTH" not in of_file
    assert "AGENTHALL_HTTP_APP" not in variables(folder, {"AGENTHALL_HTTP_APP": "other:app"}, http=http)


def test_no_variable_lets_middleware_see_requests_before_the_credentials_that_the_project_wants_first(
    folder: Path,
) -> None:
    order = "AGENTHALL_HTTP_MIDDLEWARE_ORDER"
    http = {"app": "my.web:app", "middleware_order": "auth_first"}
    assert variables(folder, {order: "middleware_first"}, http=http)[order] == "auth_first"
    assert order not in variables(folder, http={"app": "my.web:app"})


def test_no_variable_opens_the_routes_of_an_app_that_the_project_protects(folder: Path) -> None:
    http = {"app": "my.web:app", "enable_custom_route_auth": True}
    made = variables(folder, {"AGENTHALL_HTTP_APP_AUTH": "false"}, http=http)
    assert (made["AGENTHALL_HTTP_APP"], made["AGENTHALL_HTTP_APP_AUTH"]) == ("my.web:app", "true")


def test_the_index_and_the_lifetimes_of_the_store_become_settings(folder: Path) -> None:
    index = {"embed": "./agent.py:embed", "dims": 3, "fields": ["text"]}
    ttl = {"default_ttl": 5, "sweep_interval_minutes": 10}
    added = variables(folder, store={"index": index, "ttl": ttl})
    assert json.loads(added["AGENTHALL_STORE_INDEX"]) == index | {"embed": f"{folder / 'agent.py'}:embed"}
    assert json.loads(added["AGENTHALL_STORE_TTL"]) == {"default_ttl": 5}
    by_name = variables(folder, store={"index": {"embed": "openai:text-embedding-3-small", "dims": 1536}})
    assert json.loads(by_name["AGENTHALL_STORE_INDEX"])["embed"] == "openai:text-embedding-3-small"


def test_the_lifetime_of_threads_becomes_settings_that_the_environment_overrides(folder: Path) -> None:
    ttl = {"strategy": "keep_latest", "default_ttl": 43200, "sweep_interval_minutes": 10, "sweep_limit": 50}
    added = variables(folder, checkpointer={"ttl": ttl}, env={"AGENTHALL_THREAD_TTL": "60"})
    assert {name: value for name, value in added.items() if "THREAD" in name} == {
        "AGENTHALL_THREAD_TTL_STRATEGY": "keep_latest",
        "AGENTHALL_THREAD_TTL": "60",
        "AGENTHALL_THREAD_SWEEP": "10",
        "AGENTHALL_THREAD_SWEEP_LIMIT": "50",
    }


def test_keys_of_images_are_named_and_have_no_effect(folder: Path) -> None:
    content = dict.fromkeys(keys.OF_IMAGES, "anything")
    assert load(folder, **content).ignored == tuple(sorted(keys.OF_IMAGES))


@pytest.mark.parametrize("name", sorted(keys.REFUSED))
def test_a_key_that_is_not_offered_is_refused_with_an_alternative(folder: Path, name: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        load(folder, **{name: {}})
    assert f"{name}: {keys.REFUSED[name]}" in refused.value.detail


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no graphs": ({"graphs": {}}, "graphs: name at least one"),
    "graphs as a list": ({"graphs": []}, "graphs: not a JSON object"),
    "no attribute": ({"graphs": {"a": "./agent.py"}}, "graphs.a: not `./path/to/file.py:name` or `module:name`"),
    "a number": ({"graphs": {"a": 1}}, "graphs.a: not `./path"),
    "no file": ({"graphs": {"a": "./none.py:graph"}}, "graphs.a: no such file: "),
    "JavaScript": ({"graphs": {"a": "./src/agent.ts:graph"}}, "graphs.a: ./src/agent.ts is JavaScript"),
    "an unknown member": ({"graphs": {"a": {"path": "m:g", "title": "A"}}}, "graphs.a.title: unknown"),
    "a description": ({"graphs": {"a": {"path": "m:g", "description": 1}}}, "graphs.a.description: not a text"),
    "no env file": ({"env": "./other.env"}, "env: no such file: "),
    "an object in env": ({"env": {"A": {}}}, "env: not a text or a number: A"),
    "no folder": ({"dependencies": ["./nowhere"]}, "dependencies: no such folder: "),
    "a text": ({"dependencies": "."}, "dependencies: not a list of texts"),
    "a misspelled key": (
        {"dockerfile_line": []},
        "dockerfile_line: unknown; did you mean 'dockerfile_lines'?",
    ),
    "no app": ({"http": {"app": "./a.py:app"}}, "http.app: no such file: "),
    "no name of an app": ({"http": {"app": "./agent.py"}}, "http.app: not `./path/to/file.py:name`"),
    "an app in JavaScript": (
        {"http": {"app": "./app.ts:app"}},
        "http.app: ./app.ts is JavaScript; serve it from a process",
    ),
    "no app to protect": (
        {"http": {"enable_custom_route_auth": True}},
        "http.enable_custom_route_auth: there is no `http.app`",
    ),
    "a text as a switch": (
        {"http": {"app": "m:app", "enable_custom_route_auth": "yes"}},
        "http.enable_custom_route_auth: not true or false",
    ),
    "an order of middleware that there is not": (
        {"http": {"app": "m:app", "middleware_order": "auth_last"}},
        "http.middleware_order: not `middleware_first` or `auth_first`",
    ),
    "an order of middleware without an app": (
        {"http": {"middleware_order": "auth_first"}},
        "http.middleware_order: there is no `http.app`",
    ),
    "a prefix": ({"http": {"mount_prefix": "/api"}}, "http.mount_prefix: not offered; let the proxy"),
    "endpoints off": ({"http": {"disable_threads": True}}, "http.disable_threads: these endpoints cannot be"),
    "narrow methods": ({"http": {"cors": {"allow_methods": ["GET"]}}}, "http.cors.allow_methods: cannot be narrowed"),
    "a pattern": ({"http": {"cors": {"allow_origin_regex": ".*"}}}, "http.cors.allow_origin_regex: not offered"),
    "an index of the store": ({"store": {"index": {"model": "x"}}}, "store.index.model: unknown"),
    "no file to embed": ({"store": {"index": {"embed": "./none.py:embed"}}}, "store.index.embed: no such file: "),
    "a lifetime of items": (
        {"store": {"ttl": {"default": 5}}},
        "store.ttl.default: unknown; did you mean 'default_ttl'?",
    ),
    "a strategy": (
        {"checkpointer": {"ttl": {"strategy": "archive"}}},
        "checkpointer.ttl.strategy: not `delete` or `keep_latest`",
    ),
    "no strategy": ({"checkpointer": {"ttl": {"strategy": ["delete"]}}}, "checkpointer.ttl.strategy: not `delete`"),
    "a lifetime": ({"checkpointer": {"ttl": {"default_ttl": 0}}}, "checkpointer.ttl.default_ttl: not a number above 0"),
    "a text as interval": (
        {"checkpointer": {"ttl": {"sweep_interval_minutes": "5"}}},
        "checkpointer.ttl.sweep_interval_minutes: not a number above 0",
    ),
    "a misspelled lifetime": (
        {"checkpointer": {"ttl": {"default": 5}}},
        "checkpointer.ttl.default: unknown; did you mean 'default_ttl'?",
    ),
    "another backend": ({"checkpointer": {"backend": "mongo"}}, "checkpointer.backend: only `default`"),
    "a version": ({"python_version": 3.12}, "python_version: not a text"),
}


@pytest.mark.parametrize(("content", "reason"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_refused_by_its_key(folder: Path, content: dict[str, Any], reason: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        load(folder, **content)
    assert reason in refused.value.detail


def test_all_problems_are_reported_at_once(folder: Path) -> None:
    with pytest.raises(Misconfigured) as refused:
        load(folder, graphs={"a": 1}, env=7, ui={}, speed="fast")
    assert [line.strip().partition(":")[0] for line in refused.value.detail.splitlines()[1:]] == [
        "ui",
        "speed",
        "env",
        "graphs.a",
    ]


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_a_file_that_is_no_object_is_refused(folder: Path, text: str) -> None:
    file = folder / "langgraph.json"
    file.write_text(text)
    with pytest.raises(Misconfigured, match=r"langgraph.json: not (JSON|a JSON object)"):
        load_project(file)


def test_the_project_of_a_folder_is_used_unless_the_environment_names_graphs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    nothing = dict[str, str]()
    apply_project(nothing, folder)
    assert (nothing, find_project(folder)) == ({}, None)
    file = write(folder)
    named = {"AGENTHALL_GRAPHS": "{}"}
    apply_project(named, folder)
    assert named == {"AGENTHALL_GRAPHS": "{}"}
    with pytest.raises(Misconfigured, match="AGENTHALL_GRAPHS is set, and --config names graphs, too"):
        use_project(file, named)
    found = dict[str, str]()
    apply_project(found, folder)
    assert (found["AGENTHALL_PROJECT"], str(folder) in sys.path) == (str(file), True)


def test_packages_that_are_missing_are_named_with_where_they_are_asked_for(folder: Path) -> None:
    (folder / "lib" / "pyproject.toml").write_text(
        "[project]\nname = 'lib'\nversion = '1'\ndependencies = ['langgraph>=1', 'no-such-one; python_version < \"3\"', 'none-such==2']\n"
    )
    (folder / "requirements.txt").write_text("# ours\n-r more.txt\npydantic>=99\nhttps://a.example/x.whl\n")
    project = load(folder, dependencies=[".", "./lib", "orjson", "absent-one[extra]>=1", "git+https://a.example/b"])
    assert [(str(each), where) for each, where in missing_requirements(project)] == [
        ("absent-one[extra]>=1", "dependencies"),
        ("pydantic>=99", str(folder / "requirements.txt")),
        ("none-such==2", str(folder / "lib" / "pyproject.toml")),
    ]


def test_another_python_version_is_noticed(folder: Path) -> None:
    this = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert other_python(load(folder, python_version="3.9")) == "3.9"
    assert other_python(load(folder, python_version=this)) is None
    assert other_python(load(folder)) is None
