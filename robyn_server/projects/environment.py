"""A project as variables of the environment.

A variable that is set already wins over one of `env`, as with any `.env` file: a deployment overrides its project.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from robyn_server.core.errors import Misconfigured

from .config import Project, find_project, load_project

GRAPHS = "AGENTHALL_GRAPHS"
PROJECT = "AGENTHALL_PROJECT"
_AUTH = "AGENTHALL_AUTH"
_APP = "AGENTHALL_HTTP_APP"
_APP_AUTH = "AGENTHALL_HTTP_APP_AUTH"
_MIDDLEWARE_ORDER = "AGENTHALL_HTTP_MIDDLEWARE_ORDER"
_CORS = "AGENTHALL_CORS_ORIGINS"
_STORE_INDEX = "AGENTHALL_STORE_INDEX"
_STORE_TTL = "AGENTHALL_STORE_TTL"
_IMPORTS = "PYTHONPATH"
_SOURCES = "src"
"""A folder of a Python project that holds its packages."""


def project_environment(project: Project, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that the project adds to `environment`."""
    graphs = {
        graph_id: graph.path if graph.description is None else {"path": graph.path, "description": graph.description}
        for graph_id, graph in project.graphs.items()
    }
    variables = {**project.thread_ttl, **_variables(project)}
    if project.cors_origins is not None:
        variables[_CORS] = ",".join(project.cors_origins)
    if project.app is not None:
        variables[_APP] = project.app
    variables |= {
        name: json.dumps(value)
        for name, value in ((_STORE_INDEX, project.store_index), (_STORE_TTL, project.store_ttl))
        if value is not None
    }
    added = {name: value for name, value in variables.items() if name not in environment}
    paths = [*map(str, import_paths(project)), *filter(None, [environment.get(_IMPORTS)])]
    # a variable of the environment must not open what the project protects
    protected = {} if project.auth is None else {_AUTH: project.auth}
    if project.authenticates_app:
        protected[_APP_AUTH] = "true"
    if project.middleware_order is not None:
        protected[_MIDDLEWARE_ORDER] = project.middleware_order
    own = {GRAPHS: json.dumps(graphs), PROJECT: str(project.file), _IMPORTS: os.pathsep.join(paths)}
    return added | own | protected


def import_paths(project: Project) -> list[Path]:
    """Folders that Python imports the project's modules from: its own, and those of local dependencies."""
    folders = [project.folder, *project.local_dependencies]
    with_sources = [path for folder in folders for path in (folder, folder / _SOURCES) if path.is_dir()]
    return list(dict.fromkeys(with_sources))


def watched_paths(project: Project) -> list[Path]:
    """The files and folders that make the project: its own, the file of its variables, and those of local
    dependencies."""
    return [project.file, *filter(None, [project.env_file]), *import_paths(project)]


def apply_project(environment: MutableMapping[str, str], folder: Path) -> None:
    """Use the project in `folder`, if there is one, unless AGENTHALL_GRAPHS says what to serve.

    Raises Misconfigured.
    """
    file = None if environment.get(GRAPHS) else find_project(folder)
    if file is not None:
        use_project(file, environment)


def use_project(file: Path, environment: MutableMapping[str, str]) -> None:
    """Make this process one of the project. Raises Misconfigured, also where AGENTHALL_GRAPHS names other graphs."""
    if environment.get(GRAPHS):
        raise Misconfigured(f"{GRAPHS} is set, and --config names graphs, too; use one of them", field=GRAPHS)
    project = load_project(file)
    environment.update(project_environment(project, environment))
    sys.path[:0] = [path for path in map(str, import_paths(project)) if path not in sys.path]


def _variables(project: Project) -> dict[str, str]:
    if project.env_file is None:
        return dict(project.variables)
    from dotenv import dotenv_values

    return {name: value for name, value in dotenv_values(project.env_file).items() if value is not None}
