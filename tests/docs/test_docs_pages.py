"""The documentation agrees with itself and with the code: links, paths, variables, commands and codes that it names
exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from doc_pages import DOCS, OTHERS, PAGES, ROOT, anchors, links, name_of, prose
from typer.main import get_command

from robyn_server.cli.commands import commands
from robyn_server.settings import Settings

VARIABLE = re.compile(r"\b(?:AGENTHALL|AGENT_SYNC|AUTH|DATABASE|CATALOGUE)_[A-Z][A-Z_]*[A-Z]\b")
READ_ELSEWHERE = {
    "AGENTHALL_API_KEY",
    "AGENTHALL_PROCESS",
    "AGENTHALL_STATE_DIR",
    "AGENTHALL_TENANT",
    "AGENTHALL_TEST_LONG",
    "AGENTHALL_URL",
}
"""Variables of clients, of prometheus-client and of the tests."""

CODE_PATH = re.compile(r"`((?:[\w.-]+/)+(?:[\w-]+\.(?:py|sql|md|toml|conf|example|yaml))?)`")
NEVER_SENT = {"run_lost"}

every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=name_of)
def test_every_link_leads_to_a_page_and_a_heading(page: Path) -> None:
    broken = []
    for target in links(page):
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        if not found.exists() or (anchor and anchor not in anchors(found)):
            broken.append(target)
    assert broken == []


def test_every_page_is_reached_from_the_index() -> None:
    reached, waiting = set(), [DOCS / "README.md"]
    while waiting:
        page = waiting.pop()
        if page.suffix == ".md" and page not in reached:
            reached.add(page)
            waiting += [(page.parent / link.partition("#")[0]).resolve() for link in links(page) if link[0] != "#"]
    assert [name_of(page) for page in PAGES if DOCS in page.parents and page not in reached] == []


@every_page
def test_every_variable_that_is_named_exists(page: Path) -> None:
    known = {str(field.validation_alias) for field in Settings.model_fields.values()} | READ_ELSEWHERE
    assert set(VARIABLE.findall(page.read_text(encoding="utf-8"))) - known == set()


@every_page
def test_every_path_of_the_repository_that_is_named_exists(page: Path) -> None:
    folders = (ROOT, ROOT / "robyn_server")
    named = [path for path in CODE_PATH.findall(prose(page)) if not path.startswith(".agenthall")]
    assert [path for path in named if not any((folder / path).exists() for folder in folders)] == []


def test_every_specific_error_code_is_listed() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "robyn_server").rglob("*.py"))
    page = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
    codes = set(re.findall(r'\bcode="([a-z_]+)"', source)) - NEVER_SENT
    assert [code for code in sorted(codes) if f"`{code}`" not in page] == []


@every_page
def test_every_command_that_is_shown_exists(page: Path) -> None:
    root = get_command(commands)
    shown = re.findall(
        r"^(?:\$ |\.venv/bin/)?agenthall (\w+)(?: (\w+))?", page.read_text(encoding="utf-8"), re.MULTILINE
    )
    unknown = []
    for name, second in shown:
        command = getattr(root, "commands", {}).get(name)
        below = getattr(command, "commands", {})
        if command is None or (below and second not in below):
            unknown.append(f"{name} {second}")
    assert unknown == []
