"""Build the documentation site in build/site.

`docs/` is copied to build/pages first. A page may link to a file of the repository that is not in `docs/`. Such a file
is copied to build/pages/repository, and the links are adapted, so that the site needs no other host. The build fails
for a broken link.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
BUILD = ROOT / "build"
OUTSIDE = "repository"
COPIED = {".md", ".svg", ".png"}
NEEDED = ("CHANGELOG.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md")
"""Pages outside `docs/` that the navigation names."""

_FENCE = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s]+)(\))")


def place_of(source: Path) -> Path:
    """Return where a file of the repository is in build/pages."""
    if source.is_relative_to(DOCS):
        return source.relative_to(DOCS)
    return Path(OUTSIDE) / source.relative_to(ROOT)


def with_adapted_links(page: Path, text: str) -> tuple[str, set[Path]]:
    """Return the page's text with its links as they are in build/pages, and the files that it links to."""
    found: set[Path] = set()

    def adapted(match: re.Match[str]) -> str:
        before, link, after = match.groups()
        path, hash_sign, anchor = link.partition("#")
        if not path or re.match(r"[a-z]+:", link):
            return match[0]
        target = (page.parent / path).resolve()
        found.add(target)
        moved = os.path.relpath(place_of(target), place_of(page).parent)
        return f"{before}{moved}{hash_sign}{anchor}{after}"

    parts, end = [], 0
    for fence in _FENCE.finditer(text):
        parts += [_LINK.sub(adapted, text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, _LINK.sub(adapted, text[end:])]), found


def copy_pages(target: Path) -> None:
    """Copy `docs/` and the files that its pages link to."""
    shutil.rmtree(target, ignore_errors=True)
    waiting = [path for path in DOCS.rglob("*") if path.suffix in COPIED] + [ROOT / name for name in NEEDED]
    copied: set[Path] = set()
    while waiting:
        source = waiting.pop()
        if source in copied or not source.is_file():
            continue
        copied.add(source)
        waiting += _copy(source, target / place_of(source))


def _copy(source: Path, copy: Path) -> set[Path]:
    copy.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix != ".md":
        shutil.copyfile(source, copy)
        return set()
    text, linked = with_adapted_links(source, source.read_text(encoding="utf-8"))
    copy.write_text(text, encoding="utf-8")
    return linked


def copy_mermaid(target: Path) -> None:
    """Copy the script that draws diagrams. mermaidx is installed for this file alone."""
    package = find_spec("mermaidx")
    if package is None or package.origin is None:
        sys.exit("mermaidx is not installed. Run `make site`.")
    (target / "assets").mkdir(exist_ok=True)
    shutil.copyfile(Path(package.origin).parent / "assets" / "mermaid.js", target / "assets" / "mermaid.js")


def write_configuration(target: Path) -> None:
    """Write mkdocs.yml and the theme's folder beside the pages. zensical refuses folders outside its own."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for name in ("build/pages", "build/site", "docs/theme"):
        text = text.replace(f"_dir: {name}", f"_dir: {Path(name).name}")
    (target / "mkdocs.yml").write_text(text, encoding="utf-8")
    shutil.copytree(DOCS / "theme", target / "theme", dirs_exist_ok=True)


def build(target: Path) -> int:
    """Build the site in `target`/site. Return the exit code of zensical."""
    copy_pages(target / "pages")
    copy_mermaid(target / "pages")
    write_configuration(target)
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    environment = {**os.environ, "NO_COLOR": "1"}
    return subprocess.run(command, cwd=target, check=False, env=environment).returncode  # noqa: S603 - no input


if __name__ == "__main__":
    sys.exit(build(BUILD))
