"""The package of the TypeScript client, as other programs use it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from doc_pages import blocks
from node import TYPESCRIPT_CLIENT, environment

pytestmark = pytest.mark.server  # a process; the client is compiled first
README = TYPESCRIPT_CLIENT / "README.md"
STRICT = {
    "compilerOptions": {
        "target": "es2022",
        "module": "nodenext",
        "types": [],
        "lib": ["es2022", "dom"],
        "strict": True,
        "exactOptionalPropertyTypes": True,
        "noEmit": True,
    }
}
CLIENT = {"close", "discover", "list", "open", "signal", "status", "watch"}
INSTANCE = CLIENT | {
    "beatNow",
    "drain",
    "epoch",
    "instanceId",
    "jobs",
    "registration",
    "registrationId",
    "serve",
    "state",
    "untilDraining",
    "update",
}


def run(node: str, *arguments: object, cwd: Path) -> str:
    done = subprocess.run(
        [node, *map(str, arguments)], cwd=cwd, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that has the package installed."""
    scope = tmp_path / "node_modules" / "@agenthall"
    scope.mkdir(parents=True)
    (scope / "client").symlink_to(TYPESCRIPT_CLIENT)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "tsconfig.json").write_text(json.dumps(STRICT))
    return tmp_path


def test_the_examples_of_the_readme_compile_with_strict_types(node: str, project: Path) -> None:
    for number, example in enumerate(blocks(README, "ts")):
        (project / f"example{number}.ts").write_text(example)
    run(node, TYPESCRIPT_CLIENT / "node_modules" / "typescript" / "bin" / "tsc", cwd=project)


@pytest.mark.parametrize("flags", [(), ("--conditions=browser",)], ids=["node", "browser"])
def test_the_package_is_imported_by_its_name(node: str, project: Path, flags: tuple[str, ...]) -> None:
    (project / "names.mjs").write_text(
        "import * as names from '@agenthall/client'; console.log(JSON.stringify(Object.keys(names)))"
    )
    assert set(json.loads(run(node, *flags, "names.mjs", cwd=project))) == {
        *("AgentInstance", "Client", "ClientError", "Closed", "Forbidden"),
        *("JobCancelled", "JobLost", "Refused", "Superseded", "Unauthenticated", "Unreachable"),
    }


@pytest.mark.parametrize(("module", "names"), [("client", CLIENT), ("instance", INSTANCE - CLIENT | {"open", "close"})])
def test_a_client_has_no_other_public_names(node: str, module: str, names: set[str]) -> None:
    body = (TYPESCRIPT_CLIENT / "dist" / f"{module}.d.ts").read_text(encoding="utf-8").partition("declare class ")[2]
    public = set(re.findall(r"^    (?:get |readonly )?(\w+)[(:<]", body, re.MULTILINE))
    assert public - {"constructor", "agentId"} == names


def test_the_readme_names_every_method() -> None:
    text = README.read_text(encoding="utf-8")
    assert [name for name in sorted(INSTANCE - {"registration"}) if not re.search(rf"\b{name}\b", text)] == []


def test_the_lock_names_no_registry() -> None:
    lock = (TYPESCRIPT_CLIENT / "package-lock.json").read_text(encoding="utf-8")
    assert "resolved" not in lock and "http" not in re.sub(r'"url": "[^"]*"', "", lock)
