"""The files of the API reference: Swagger UI's, and our own beside this module."""

from __future__ import annotations

import functools
import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

_OWN = Path(__file__).parent
_MEDIA_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class ReferenceFile:
    body: bytes
    compressed: bytes
    """With gzip."""
    media_type: str
    digest: str


@functools.cache
def swagger_ui_folder() -> Path | None:
    """Return the folder of Swagger UI's files, or None without its package."""
    package = find_spec("swagger_ui_bundle")
    if package is None or package.origin is None:
        return None
    return next(iter(sorted(Path(package.origin).parent.glob("vendor/swagger-ui-*"))), None)


@functools.cache
def reference_files() -> Mapping[str, ReferenceFile]:
    """Read all files by their names. Empty without Swagger UI. Blocks while it reads and compresses."""
    swagger_ui = swagger_ui_folder()
    if swagger_ui is None:
        return {}
    folders = {
        "reference.css": _OWN,
        "reference.js": _OWN,
        "swagger-ui-bundle.js": swagger_ui,
        "swagger-ui.css": swagger_ui,
    }
    return {name: _read(folder / name) for name, folder in folders.items()}


def _read(path: Path) -> ReferenceFile:
    body = path.read_bytes()
    return ReferenceFile(
        body, gzip.compress(body, mtime=0), _MEDIA_TYPES[path.suffix], hashlib.sha256(body).hexdigest()[:32]
    )
