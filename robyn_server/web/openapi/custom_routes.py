"""The routes of a project's app in the description of the server: `http.app`, for an app that describes itself.

Rules
  1. An operation of the app replaces the server's of the same method and path, because the app answers it.
  2. Paths that differ in the names of their parameters alone are one path (OpenAPI 3.1, Paths Object).
  3. Names that both have, of components and operations, are renamed in the app's part.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

TAG = "Custom routes"
"""Of operations that have none."""

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_PARAMETER = re.compile(r"\{([^}]*)\}")
_COMPONENT = re.compile(r"#/components/([^/]+)/([^/]+)")

Document = dict[str, Any]


def with_custom_routes(
    server: Mapping[str, Any], app: Mapping[str, Any], *, reserved: Collection[str], has_credentials: bool
) -> Document:
    """Return the document of the server with the operations of the app's document.

    `reserved`: paths that stay the server's. `has_credentials`: operations that name no security take the server's;
    otherwise they need none.
    """
    paths = {path: dict(item) for path, item in server["paths"].items()}
    components = {kind: dict(named) for kind, named in server["components"].items()}
    renamed = _renamed(app.get("components") or {}, components)
    for kind, named in (app.get("components") or {}).items():
        ours = components.setdefault(kind, {})
        ours |= {renamed[kind, name]: _with_names(value, renamed) for name, value in named.items()}
    operation_ids = {operation["operationId"] for item in paths.values() for operation in item.values()}
    templates = {_shape(path): path for path in paths}
    tags = {tag["name"]: tag for tag in (*server["tags"], *(app.get("tags") or ()))}
    security = app.get("security", None if has_credentials else [])
    for path, method, given in _operations(app, reserved):
        operation = _with_names(given, renamed)
        if "operationId" in operation:
            operation["operationId"] = _free(operation["operationId"], operation_ids)
        if security is not None:
            operation.setdefault("security", security)
        for tag in operation.setdefault("tags", [TAG]):
            tags.setdefault(tag, {"name": tag})
        template = templates.setdefault(_shape(path), path)
        paths.setdefault(template, {})[method] = _with_parameters_of(template, path, operation)
    return {**server, "tags": list(tags.values()), "paths": paths, "components": components}


def _operations(app: Mapping[str, Any], reserved: Collection[str]) -> Iterator[tuple[str, str, Document]]:
    """Yield path, method and operation. The operation has the parameters of its path item, too."""
    for path, item in app["paths"].items():
        shared = item.get("parameters", [])
        for method in _METHODS:
            if path not in reserved and method in item:
                yield path, method, item[method] | {"parameters": [*shared, *item[method].get("parameters", [])]}


def _shape(path: str) -> str:
    return _PARAMETER.sub("{}", path)


def _with_parameters_of(template: str, path: str, operation: Document) -> Document:
    """The operation with the names that `template` has for the parameters of `path`."""
    names = dict(zip(_PARAMETER.findall(path), _PARAMETER.findall(template), strict=True))
    parameters = [
        each | {"name": names.get(each["name"], each["name"])} if each.get("in") == "path" else each
        for each in operation["parameters"]
    ]
    return operation | {"parameters": parameters}


def _renamed(components: Mapping[str, Any], taken: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """The new name of each component of the app, by its kind and name."""
    found: dict[tuple[str, str], str] = {}
    for kind, named in components.items():
        names = set(taken.get(kind, ()))
        for name in named:
            found[kind, name] = _free(name, names)
    return found


def _free(name: str, taken: set[str]) -> str:
    """`name`, or with a prefix that makes it free. It is taken afterwards."""
    while name in taken:
        name = f"App{name}"
    taken.add(name)
    return name


def _with_names(value: Any, renamed: Mapping[tuple[str, str], str]) -> Any:
    """The value with the new names of components, where it refers to them or requires them as credentials."""
    if isinstance(value, list):
        return [_with_names(each, renamed) for each in value]
    if not isinstance(value, dict):
        return value
    new = {key: _with_names(each, renamed) for key, each in value.items()}
    if isinstance(reference := value.get("$ref"), str):
        new["$ref"] = _COMPONENT.sub(lambda found: _reference(found[1], found[2], renamed), reference)
    if isinstance(security := value.get("security"), list):
        new["security"] = [
            {renamed.get(("securitySchemes", name), name): scopes for name, scopes in each.items()} for each in security
        ]
    return new


def _reference(kind: str, name: str, renamed: Mapping[tuple[str, str], str]) -> str:
    return f"#/components/{kind}/{renamed.get((kind, name), name)}"
