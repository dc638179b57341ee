"""A configuration with long lists is refused at the first bad element."""

from __future__ import annotations

from typing import Any

import pytest

from tools_agent.configuration import MAX_ITEMS, agent_config
from tools_agent.errors import ConfigurationInvalid

SERVER = {"url": "http://127.0.0.1:9"}
LONG: dict[str, Any] = {
    "agent_tools": {"agent_tools": [5] * 100_000},
    "stop": {"stop": [5] * 100_000},
    "many words": {"stop": ["x"] * (MAX_ITEMS + 1)},
    "servers": {"mcp_config": {"servers": [5] * 100_000}},
    "many servers": {"mcp_config": {"servers": [SERVER] * (MAX_ITEMS + 1)}},
    "tools": {"mcp_config": {"servers": [SERVER | {"tools": [5] * 100_000}]}},
}


@pytest.mark.parametrize("what", LONG)
def test_a_long_list_makes_one_error(what: str) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        agent_config({"configurable": LONG[what]})
    assert len(str(caught.value)) < 300
