"""The copy of the documentation that the site is built from."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.build_site import DOCS, ROOT, copy_pages, with_adapted_links

PAGE = DOCS / "how-to" / "deploy.md"


@pytest.mark.parametrize(
    ("page", "link", "adapted"),
    [
        (PAGE, "../reference/settings.md#logs", "../reference/settings.md#logs"),
        (PAGE, "../../deploy/README.md", "../repository/deploy/README.md"),
        (PAGE, "#systemd", "#systemd"),
        (PAGE, "https://example.com/a.md", "https://example.com/a.md"),
        (ROOT / "CONTRIBUTING.md", "docs/glossary.md#words", "../glossary.md#words"),
        (ROOT / "clients" / "python" / "README.md", "../../docs/README.md", "../../../README.md"),
    ],
)
def test_a_link_leads_to_the_same_file_in_the_copy(page: Path, link: str, adapted: str) -> None:
    text, _ = with_adapted_links(page, f"See [it]({link}).")
    assert text == f"See [it]({adapted})."


def test_links_in_a_fenced_block_stay() -> None:
    text = "```\n[a](../../deploy/README.md)\n```\n"
    assert with_adapted_links(PAGE, text) == (text, set())


def test_the_copy_has_what_its_pages_link_to_and_no_program(tmp_path: Path) -> None:
    copy_pages(tmp_path)
    assert (tmp_path / "repository" / "deploy" / "nginx.conf").is_file()
    assert (tmp_path / "how-to" / "deploy.md").is_file()
    assert list(tmp_path.glob("*.py")) == []
