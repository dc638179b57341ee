"""Write the console's types of this API, `console/src/api/schema.d.ts`, from the routes. Needs no server.

`--check` only compares, and fails if a route has changed since. Needs the console's packages: without them it says so
and succeeds.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from robyn_server.web.http.routing import Route
from robyn_server.web.openapi.document import openapi
from robyn_server.web.routes import all_routes
from robyn_server.web.routes.server.system import system_routes

from .build_console import CONSOLE

TYPES = CONSOLE / "src" / "api" / "schema.d.ts"
_GENERATOR = CONSOLE / "node_modules" / ".bin" / "openapi-typescript"


class _NoHost:
    """System routes are made for the edge that serves them; their description needs none."""

    routes: tuple[Route, ...] = ()
    sockets_url = None
    credentials: tuple[str, ...] = ()
    app = None

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        return False, {}


def main(arguments: Sequence[str]) -> int:
    if not _GENERATOR.exists():
        print("The console's packages are not installed, so its types are not compared: make console")
        return 0
    types = generate()
    if "--check" not in arguments:
        TYPES.write_text(types)
        return 0
    if TYPES.read_text() == types:
        return 0
    print(f"{TYPES.relative_to(CONSOLE.parent)} is not that of the routes: make docs")
    return 1


def generate() -> str:
    document = openapi([*system_routes(_NoHost()), *all_routes()])
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder, "openapi.json"), Path(folder, "schema.d.ts")
        source.write_bytes(orjson.dumps(document))
        subprocess.run([_GENERATOR, source, "-o", made], check=True, capture_output=True)  # noqa: S603 - our own program
        return made.read_text()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
