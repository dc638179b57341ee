"""A field of the settings, with its environment variable."""

from __future__ import annotations

from typing import Any

from pydantic import Field

MEBIBYTE = 1024 * 1024


def env(name: str, default: Any, description: str, **limits: Any) -> Any:
    """`description` stands in docs/reference/settings.md. `limits`: as those of pydantic's Field."""
    return Field(default, validation_alias=name, description=description, **limits)
