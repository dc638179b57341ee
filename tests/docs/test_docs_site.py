"""The documentation site has every page in its navigation, no broken link, and nothing from another host."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from doc_pages import DOCS, PAGES, ROOT

from scripts.build_site import build, place_of
from scripts.check_site import problems, read_site

needs_zensical = pytest.mark.skipif(
    find_spec("zensical") is None or find_spec("mermaidx") is None, reason="`make site` installs zensical"
)


def _in_navigation() -> set[str]:
    config = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    pages, waiting = set(), [config["nav"]]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, str):
            pages.add(entry)
        else:
            waiting += entry if isinstance(entry, list) else entry.values()
    return pages


def test_every_page_is_in_the_navigation() -> None:
    pages = {place_of(page).as_posix() for page in PAGES if DOCS in page.parents}
    assert pages - _in_navigation() == set()


def test_every_entry_of_the_navigation_is_a_page() -> None:
    places = [
        ROOT / name.removeprefix("repository/") if "repository/" in name else DOCS / name for name in _in_navigation()
    ]
    assert [place.as_posix() for place in places if not place.is_file()] == []


@pytest.mark.server
@needs_zensical
def test_the_site_is_built_and_its_links_lead_somewhere(tmp_path: Path) -> None:
    assert build(tmp_path) == 0
    site = tmp_path / "site"
    assert list(problems(site)) == []
    assert len(read_site(site)) >= len([page for page in PAGES if DOCS in page.parents])
