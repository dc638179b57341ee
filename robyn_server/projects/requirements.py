"""Whether the packages that a project names are installed beside the server."""

from __future__ import annotations

import importlib.metadata
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from .config import Project


def missing_requirements(project: Project) -> list[tuple[Requirement, str]]:
    """Requirements that are not installed, or in another version; each with where it is named."""
    return [(each, where) for each, where in _requirements(project) if not _is_installed(each)]


def _requirements(project: Project) -> Iterator[tuple[Requirement, str]]:
    for text in project.dependencies:
        if not text.startswith("."):
            yield from _parsed([text], "dependencies")
    for folder in project.local_dependencies:
        yield from _of_folder(folder)


def _of_folder(folder: Path) -> Iterator[tuple[Requirement, str]]:
    """Those of a local package: of its pyproject.toml, else of its requirements.txt, as `langgraph` installs them."""
    pyproject, listed = folder / "pyproject.toml", folder / "requirements.txt"
    if pyproject.is_file():
        content = tomllib.loads(pyproject.read_text(encoding="utf-8"))
        yield from _parsed(content.get("project", {}).get("dependencies", []), str(pyproject))
    elif listed.is_file():
        yield from _parsed(listed.read_text(encoding="utf-8").splitlines(), str(listed))


def _parsed(lines: list[str], where: str) -> Iterator[tuple[Requirement, str]]:
    for line in lines:
        text = line.partition(" #")[0].strip()
        if not text or text.startswith(("#", "-")):  # an option of pip's, such as `-r other.txt`
            continue
        try:
            yield Requirement(text), where
        except InvalidRequirement:
            continue  # a URL or a path: pip knows what that is


def _is_installed(requirement: Requirement) -> bool:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(Version(version), prereleases=True)


def other_python(project: Project) -> str | None:
    """The Python version that the project wants, if this is another one."""
    wanted, current = project.python_version, f"{sys.version_info.major}.{sys.version_info.minor}"
    return None if wanted is None or current == ".".join(wanted.split(".")[:2]) else wanted
