"""Check the built documentation site: links lead to pages and headings, and nothing is loaded from elsewhere."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

SITE = Path(__file__).resolve().parent.parent / "build" / "site"
LOADS = {"script", "img", "iframe", "source", "video", "audio", "embed", "object", "use", "image", "link"}
POINTS = {"canonical", "prev", "next", "alternate"}
"""Relations of `<link>` that load nothing."""
_IN_STYLES = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""")


class Page(HTMLParser):
    """The ids, the links and the loaded files of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = _IN_STYLES.findall(text)
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        target = values.get("href") or values.get("src") or values.get("xlink:href") or values.get("data")
        if target is None:
            return
        if tag in LOADS and values.get("rel") not in POINTS:
            self.loaded.append(target)
        if tag in LOADS | {"a"}:
            self.links.append(target)


def read_site(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}


def problems(site: Path) -> Iterator[str]:
    """Yield what is wrong: broken links and anchors, resources of other hosts."""
    pages = read_site(site)
    for path, page in pages.items():
        name = path.relative_to(site)
        yield from (f"{name}: link to nothing: {link}" for link in page.links if not _leads(site, pages, path, link))
        yield from (f"{name}: loads {url}" for url in page.loaded if _is_elsewhere(url))
    for style in sorted([*site.rglob("*.css"), *site.rglob("*.svg")]):
        urls = _IN_STYLES.findall(style.read_text(encoding="utf-8"))
        yield from (f"{style.relative_to(site)}: loads {url}" for url in urls)


def _is_elsewhere(url: str) -> bool:
    return urlsplit(url).netloc != ""


def _leads(site: Path, pages: dict[Path, Page], page: Path, link: str) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True
    path = unquote(parts.path)
    start = site if path.startswith("/") else page.parent  # only the page for unknown addresses has absolute links
    target = (start / path.lstrip("/")).resolve() if path else page
    target = target / "index.html" if target.is_dir() else target
    if not target.is_file():
        return False
    return not parts.fragment or target not in pages or unquote(parts.fragment) in pages[target].ids


def main() -> int:
    found = list(problems(SITE))
    print("\n".join(found) or f"{len(read_site(SITE))} pages have no broken link and load nothing from elsewhere")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
