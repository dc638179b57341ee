"""Validation of capabilities and tags."""

from __future__ import annotations

from typing import Any

import pytest
from agenthall_client import AgentInstance


@pytest.mark.parametrize("name", ["capabilities", "tags"])
@pytest.mark.parametrize("value", ["abc", b"abc", 5, {"a": 1}, [1]])
def test_a_value_that_is_not_a_list_of_strings_is_a_type_error_that_names_the_parameter(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"^{name}: must be a list of strings"):
        AgentInstance("ide-agent", **{name: value})


async def test_an_update_rejects_a_plain_string_too() -> None:
    with pytest.raises(TypeError, match=r"^tags: must be a list of strings, not str"):
        await AgentInstance("ide-agent").update(tags="abc")
