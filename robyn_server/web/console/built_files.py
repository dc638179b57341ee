"""The files that the build of the console made, with their compressed forms."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PAGE = "index.html"
ASSETS = "assets/"

_ENCODINGS = {"br": ".br", "gzip": ".gz"}
"""Encodings that the build makes, the smaller first, with the ending of their files."""

_TEXT = {"text/css", "text/html", "text/javascript", "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class BuiltFile:
    """`encoded`: the files of its compressed forms by the name of the encoding, in the order of preference."""

    path: Path
    media_type: str
    digest: str
    encoded: Mapping[str, Path]
    is_hashed: bool


class BuiltConsole:
    """Lists the files of `folder`. The list is made again when a new build has replaced the page."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._built_at = 0
        self._files: Mapping[str, BuiltFile] = {}
        self._page = ""

    @property
    def page(self) -> str:
        """The text of the page. Empty before the first build."""
        return self._page

    def refresh(self) -> None:
        """Read the folder if there is a build that is not listed yet. Blocks while it reads."""
        page = self._folder / PAGE
        try:
            built_at = page.stat().st_mtime_ns
            if built_at != self._built_at:
                self._page, self._files = page.read_text(), _list_files(self._folder)
                self._built_at = built_at
        except FileNotFoundError:
            self._built_at, self._page, self._files = 0, "", {}

    def find(self, name: str) -> BuiltFile | None:
        """`name`: relative to the folder, with slashes."""
        return self._files.get(name)


def _list_files(folder: Path) -> dict[str, BuiltFile]:
    compressed = tuple(_ENCODINGS.values())
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    plain = [path for path in paths if path.suffix not in compressed and path != folder / PAGE]
    return {path.relative_to(folder).as_posix(): _describe(path, folder) for path in plain}


def _describe(path: Path, folder: Path) -> BuiltFile:
    guessed = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    media_type = f"{guessed}; charset=utf-8" if guessed in _TEXT else guessed
    forms = {encoding: path.with_name(path.name + ending) for encoding, ending in _ENCODINGS.items()}
    return BuiltFile(
        path,
        media_type,
        hashlib.sha256(path.read_bytes()).hexdigest()[:32],
        {encoding: form for encoding, form in forms.items() if form.is_file()},
        path.relative_to(folder).as_posix().startswith(ASSETS),
    )
