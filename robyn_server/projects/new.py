"""Write a small project that runs at once."""

from __future__ import annotations

from pathlib import Path

from robyn_server.core.errors import Misconfigured

_TEMPLATE = Path(__file__).with_name("template")
_HIDDEN = "dot-"
"""A file of the template has this instead of its leading dot, so that tools do not apply it to the template."""


def create_project(folder: Path) -> list[Path]:
    """Write the files into `folder`, which is new or empty, and return their paths.

    Raises Misconfigured, and writes nothing then.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Misconfigured(f"{folder} is not empty; name a new folder")
    contents = {_name(source): source.read_bytes() for source in sorted(_TEMPLATE.iterdir()) if source.is_file()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise Misconfigured(f"{folder} cannot be written: {error.strerror}") from None
    return [folder / name for name in contents]


def _name(source: Path) -> str:
    return source.name.replace(_HIDDEN, ".", 1) if source.name.startswith(_HIDDEN) else source.name
