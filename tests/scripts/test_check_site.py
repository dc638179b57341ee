"""The check of a built site, on pages made for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.check_site import problems


def site_of(folder: Path, body: str) -> Path:
    (folder / "part").mkdir()
    (folder / "index.html").write_text('<h1 id="top">Home</h1>')
    (folder / "style.css").write_text("body { color: red }")
    (folder / "part" / "page.html").write_text(f'<h2 id="here">Page</h2>{body}')
    return folder


@pytest.mark.parametrize(
    "body",
    [
        '<a href="../index.html#top">up</a>',
        '<a href="#here">here</a>',
        '<a href="../">home</a>',
        '<a href="https://example.com/">elsewhere</a>',
        '<link rel="stylesheet" href="../style.css">',
    ],
)
def test_a_link_to_a_page_and_a_heading_that_exist_is_fine(tmp_path: Path, body: str) -> None:
    assert list(problems(site_of(tmp_path, body))) == []


@pytest.mark.parametrize("link", ["missing.html", "../index.html#missing", "#missing", "../part"])
def test_a_link_to_nothing_is_found(tmp_path: Path, link: str) -> None:
    found = list(problems(site_of(tmp_path, f'<a href="{link}">x</a>')))
    assert found == [f"part/page.html: link to nothing: {link}"]


@pytest.mark.parametrize(
    "body",
    [
        '<script src="https://example.com/a.js"></script>',
        '<link rel="stylesheet" href="//example.com/a.css">',
        '<img src="https://example.com/a.png">',
        "<style>a { background: url(https://example.com/a.png) }</style>",
    ],
)
def test_a_file_of_another_host_is_found(tmp_path: Path, body: str) -> None:
    (found,) = problems(site_of(tmp_path, body))
    assert found.startswith("part/page.html: loads ")


def test_a_style_sheet_that_loads_from_elsewhere_is_found(tmp_path: Path) -> None:
    site = site_of(tmp_path, "")
    (site / "style.css").write_text("@import 'https://example.com/font.css';")
    assert list(problems(site)) == ["style.css: loads https://example.com/font.css"]
