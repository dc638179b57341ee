"""Map a product's own tables to the catalogue's contract: propose a mapping, check it, and write its SQL.

Rules
  1. The database is only read. The SQL is for an operator, who reads it and applies it.
  2. A guess is shown before it is used. A part that cannot be guessed is asked for by name.
  3. A mapping is checked as the server would read it: by the contract's probe, and by parsing the agents.
"""

from __future__ import annotations

from .check import MappingReport, apply_mapping, check_mapping
from .mapping import MappingOptions, TableMapping, map_tables
from .schema import Schema, Table, read_schema
from .sql import mapping_sql, settings_of

__all__ = [
    "MappingOptions",
    "MappingReport",
    "Schema",
    "Table",
    "TableMapping",
    "apply_mapping",
    "check_mapping",
    "map_tables",
    "mapping_sql",
    "read_schema",
    "settings_of",
]
