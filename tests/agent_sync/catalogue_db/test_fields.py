"""A field of the catalogue is described once.

These tests name every other place that a new field has to be added to.
"""

from __future__ import annotations

import re

import pytest

from robyn_server.agent_sync import AgentSyncData, CatalogueSource, _build_assistant_configurable, catalogue_view_sql
from robyn_server.agent_sync.catalogue_db.contract import (
    EXPECTED,
    OPTIONAL,
    OPTIONAL_OF_VIEW,
    REQUIRED,
    REQUIRED_OF_VIEW,
)
from robyn_server.agent_sync.catalogue_db.fields import COLUMNS, FIELDS, OF_VIEW, CatalogueField
from robyn_server.agent_sync.catalogue_db.fingerprints import COVERED
from robyn_server.agent_sync.catalogue_db.queries import agents_query
from robyn_server.agent_sync.catalogue_db.reader import parse_agent
from robyn_server.core.catalogue.fields import CATALOGUE_KEYS
from robyn_server.files import packaged

JUDGED = {"engine_id", "engine_type", "engine_found"}
"""Fields that decide whether an agent can be served, and are no part of it."""

VIEW = CatalogueSource("app.agents")


def test_every_field_is_a_field_of_an_agent():
    assert {field.name for field in FIELDS} - JUDGED <= AgentSyncData.model_fields.keys()


@pytest.mark.parametrize("field", [field for field in FIELDS if field.configurable], ids=lambda field: field.name)
def test_a_configurable_field_fills_a_key_that_the_catalogue_owns(field: CatalogueField):
    agent = AgentSyncData.model_validate({"agent_id": "0" * 32, "name": "Ada", field.name: "given"})
    assert _build_assistant_configurable(agent)[field.configurable] == "given"
    assert field.configurable in CATALOGUE_KEYS


def test_every_column_of_a_view_is_documented():
    assert all(field.meaning for field in OF_VIEW)


def test_the_printed_view_has_every_column():
    printed = catalogue_view_sql(VIEW, write_back=True, role=None)
    for field in OF_VIEW:
        assert re.search(rf"(as {field.name}|\b[am]\.{field.name})\b", printed), field.name


def test_the_sample_catalogue_has_every_column():
    table = re.search(
        r"create table public\.agents \((.*?)\);", (packaged("demo") / "catalogue.sql").read_text(), re.DOTALL
    )
    assert table is not None
    for field in COLUMNS:
        assert re.search(rf"\b{field.column}\b", table[1]), field.column


def test_the_contract_the_queries_and_the_fingerprint_follow_the_table():
    assert {field.column for field in COLUMNS} <= {*REQUIRED["agents"], *OPTIONAL["agents"]}
    assert {field.name for field in OF_VIEW} == {*REQUIRED_OF_VIEW, *OPTIONAL_OF_VIEW}
    assert [field.name for field in FIELDS if field.fingerprinted] == list(COVERED)
    for source, described in ((CatalogueSource(), COLUMNS), (VIEW, OF_VIEW)):
        query = agents_query(source, EXPECTED, [], limit="1")
        assert all(f" as {field.name}" in query for field in described)


def test_a_row_with_every_field_is_parsed():
    row = {field.name: None for field in FIELDS} | {"agent_id": "0" * 32, "name": "Ada", "read_at": None}
    assert parse_agent(row).name == "Ada"
