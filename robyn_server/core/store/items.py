"""Namespaces, keys and filters of the store: the rules that its API and the store inside graphs share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from robyn_server.core.errors import Invalid

Namespace: TypeAlias = tuple[str, ...]

RESERVED = "langgraph"
"""No namespace begins with this label: LangGraph keeps it for itself."""

MAX_LABELS = 32
MAX_NAME_BYTES = 1024
"""Of namespace and key together: both are in an index."""

OPERATORS = frozenset({"$eq", "$ne", "$gt", "$gte", "$lt", "$lte"})


@dataclass(frozen=True, slots=True)
class NamespacePattern:
    """`*` in `path` stands for any label. `is_suffix`: it matches the end of a namespace, not its beginning."""

    path: Namespace
    is_suffix: bool = False


def check_namespace(labels: Sequence[str], field: str = "namespace", *, may_be_empty: bool = False) -> Namespace:
    """Raises Invalid, with the wording of LangGraph."""
    if not labels and not may_be_empty:
        raise Invalid("Namespace cannot be empty.", field=field)
    for label in labels:
        if not isinstance(label, str) or not label or "." in label:
            raise Invalid(f"Namespace label {label!r} must be a non-empty string without periods", field=field)
    if labels and labels[0] == RESERVED:
        raise Invalid(f'Root label for namespace cannot be "{RESERVED}". Got: {tuple(labels)}', field=field)
    if len(labels) > MAX_LABELS:
        raise Invalid(f"{field}: at most {MAX_LABELS} labels", field=field)
    _check_length(field, labels)
    return tuple(labels)


def check_name(namespace: Sequence[str], key: str) -> Namespace:
    """Check the name of an item. Raises Invalid."""
    if not isinstance(key, str) or not key:
        raise Invalid("key: must be a non-empty text", field="key")
    checked = check_namespace(namespace)
    _check_length("key", (*checked, key))
    return checked


def check_filter(given: Mapping[str, Any], path: str = "filter") -> None:
    """Raises Invalid naming an operator that there is not, or one beside members of a nested filter."""
    for name, wanted in given.items():
        if not isinstance(wanted, Mapping):
            continue
        operators = [key for key in wanted if isinstance(key, str) and key.startswith("$")]
        unknown = [key for key in operators if key not in OPERATORS]
        if unknown or 0 < len(operators) < len(wanted):
            problem = f"{unknown[0]!r} is no operator" if unknown else "operators and members do not go together"
            raise Invalid(f"{path}.{name}: {problem}; there are {', '.join(sorted(OPERATORS))}", field=path)
        if not operators:
            check_filter(wanted, f"{path}.{name}")


def _check_length(field: str, labels: Sequence[str]) -> None:
    if sum(len(label.encode(errors="replace")) for label in labels) > MAX_NAME_BYTES:
        raise Invalid(f"{field}: namespace and key have at most {MAX_NAME_BYTES} bytes together", field=field)
