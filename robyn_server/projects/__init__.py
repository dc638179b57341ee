"""A LangGraph project: a folder with a `langgraph.json`, as `langgraph dev` and its CLI read it.

Rules
  1. A project becomes variables of the environment (`environment.py`). So every process of the server gets it the same
     way, and a variable that is set already wins.
  2. Each key is honoured, or has no meaning outside an image, or is refused by name with an alternative (`keys.py`).
     None is dropped.
  3. All problems of a file are reported at once.
"""

from __future__ import annotations

from .config import FILE_NAME, Project, find_project, load_project
from .environment import GRAPHS, PROJECT, apply_project, project_environment, use_project, watched_paths

__all__ = [
    "FILE_NAME",
    "GRAPHS",
    "PROJECT",
    "Project",
    "apply_project",
    "find_project",
    "load_project",
    "project_environment",
    "use_project",
    "watched_paths",
]
