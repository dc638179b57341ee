"""The fields of an agent in the catalogue, in one table.

The contract, the queries, the fingerprints, the parsing of rows, the plain keys of the payload and the table in
docs/reference/catalogue.md are derived from it. CONTRIBUTING.md says where else a new field has to be added, and
`tests/agent_sync/catalogue_db/test_fields.py` reports what is missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Form(StrEnum):
    """How a column is read. JSON comes as text, so it is the same whatever codecs a pool has."""

    PLAIN = "a.{}"
    TEXT = "a.{}::text"
    TO_JSON = "to_jsonb(a.{})::text"


@dataclass(frozen=True, slots=True)
class CatalogueField:
    """A field that the queries select as `name`. Most are also fields of `AgentSyncData`.

    - type: of the view's column. None: the view has no such column.
    - column: of `public.agents`. None: the queries compute it from the other tables.
    - required: without it the catalogue is not read. An optional field that is absent reads as null.
    - fingerprinted: whether a change of it changes the assistant.
    - is_json: whether the text that is read is JSON.
    - configurable: the key of `config.configurable` that it fills, unless it is null.
    """

    name: str
    type: str | None
    meaning: str = ""
    column: str | None = None
    required: bool = False
    form: Form = Form.PLAIN
    is_json: bool = False
    fingerprinted: bool = True
    configurable: str | None = None


# In the order in which fields are hashed: another order would change every fingerprint.
FIELDS = (
    CatalogueField("agent_id", "uuid", "The agent's id. The assistant gets the same id.", "id", required=True),
    CatalogueField(
        "organization_id",
        "uuid",
        "The organization that owns the agent. Null: only administrators see it.",
        "organization_id",
        required=True,
    ),
    CatalogueField("name", "text", "The assistant's name. Neither null nor empty.", "name", required=True),
    CatalogueField("description", "text", "The assistant's description.", "description"),
    CatalogueField(
        "is_global",
        "boolean",
        "With `AGENT_SYNC_TEMPLATES=on`, false makes the agent a template. Null counts as false.",
        "is_global",
    ),
    CatalogueField(
        "system_prompt",
        "text",
        "The system prompt. Null: none.",
        "system_prompt",
        required=True,
        configurable="system_prompt",
    ),
    CatalogueField(
        "sampling_params",
        "jsonb",
        "A JSON object of sampling parameters, see below.",
        "sampling_params",
        form=Form.TO_JSON,
        is_json=True,
    ),
    CatalogueField(
        "assistant_tool_ids",
        "uuid[]",
        "Ids of other agents that this agent may call as tools.",
        "assistant_tool_ids",
        form=Form.TO_JSON,
        is_json=True,
    ),
    CatalogueField(
        "graph_id",
        "text",
        "The graph to run. Null: `agent`. An id that the server does not serve is a failure of this agent.",
        "graph_id",
    ),
    CatalogueField("engine_id", None, "", "engine_id", required=True, form=Form.TEXT),
    CatalogueField(
        "engine_type", "text", "Shown in the reason when an engine cannot be found.", "engine_type", form=Form.TEXT
    ),
    CatalogueField(
        "engine_found",
        "boolean",
        "Null: the agent names no engine. False: it names one that does not exist, and the agent fails. True: `runtime_model_name` must be set. Without the column: true when there is a model, and false when `engine_type` is set and not `global`.",
    ),
    CatalogueField(
        "runtime_model_name",
        "text",
        "The model, as `provider:model`. Null: the default model, if the agent names no engine.",
        required=True,
    ),
    CatalogueField(
        "mcp_tools",
        "jsonb",
        "A JSON array with one object for each tool, see below. Null: no tools.",
        required=True,
        form=Form.TEXT,
        is_json=True,
    ),
    CatalogueField(
        "langgraph_assistant_id",
        "text or uuid",
        "The assistant's id, written back by the server. Without this column nothing is written back.",
        "langgraph_assistant_id",
        form=Form.TEXT,
        fingerprinted=False,
    ),
)

CLOCK = "updated_at"
"""Optional in every table and view, and read only to find edits by it."""

COLUMNS = tuple(field for field in FIELDS if field.column is not None)
"""The fields that are columns of `public.agents`."""

OF_VIEW = tuple(field for field in FIELDS if field.type is not None)

CLOCK_OF_VIEW = CatalogueField(
    CLOCK,
    "timestamp with time zone",
    "When any row behind this agent was last edited. Edits are found by it where there are no triggers.",
)


def names(fields: Iterable[CatalogueField], *, required: bool | None = None) -> tuple[str, ...]:
    return tuple(field.name for field in fields if required is None or field.required is required)


def columns(*, required: bool) -> tuple[str, ...]:
    """Columns of `public.agents`."""
    return tuple(str(field.column) for field in COLUMNS if field.required is required)


def types_of_view() -> dict[str, str]:
    return {field.name: str(field.type) for field in (*OF_VIEW, CLOCK_OF_VIEW)}
