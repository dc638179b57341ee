"""Puts the built console into the wheel. Hatchling runs this file when it builds a wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConsoleHook(BuildHookInterface):  # type: ignore[type-arg]
    """Fails where the console is not built, so that no wheel lacks it silently. An editable install needs none."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        built = Path(self.root, "console", "dist")
        if not (built / "index.html").is_file():
            raise RuntimeError("The console is not built, and the wheel needs it. Run `make console` first.")
        build_data["force_include"][str(built)] = "robyn_server/_files/console"
