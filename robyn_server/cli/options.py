"""Options that several commands have."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[Path, typer.Option(envvar="AGENTHALL_DATA_DIR", help="Where the embedded database lives.")]


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"
