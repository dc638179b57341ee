"""Fields of `select`: which parts of a thread's state are returned. `values.messages` names one key of the values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from robyn_server.core.errors import Invalid

FIELDS = (
    "values",
    "next",
    "tasks",
    "metadata",
    "created_at",
    "checkpoint",
    "parent_checkpoint",
    "interrupts",
    "checkpoint_id",
    "parent_checkpoint_id",
)
_VALUES = "values."
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class StateSelect:
    """`fields`: whole members of the state. `keys`: of its values, unless these are selected as a whole."""

    fields: frozenset[str]
    keys: frozenset[str]

    def apply(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return the selected members of a state. A key that the values do not have is left out."""
        selected = {name: value for name, value in state.items() if name in self.fields}
        if self.keys and "values" not in self.fields:
            values = state["values"]
            has_keys = isinstance(values, Mapping)
            selected["values"] = {key: values[key] for key in values if key in self.keys} if has_keys else {}
        return selected


def parse_select(names: Sequence[str] | None) -> StateSelect | None:
    """Parse the fields of a request; None for all. Raises Invalid."""
    if not names:
        return None
    keys = {name.removeprefix(_VALUES) for name in names if name.startswith(_VALUES)} - {""}
    fields = {name for name in names if name in FIELDS}
    for name in names:
        if name not in fields and name.removeprefix(_VALUES) not in keys:
            raise Invalid(
                f"select: '{name[:_SHOWN]}' is not one of: {', '.join(FIELDS)}, or values.<key>", field="select"
            )
    return StateSelect(frozenset(fields), frozenset(keys))
