from __future__ import annotations

import pytest

from robyn_server.web.edge.access.events import changed_body
from robyn_server.web.schemas.runs import RunCreateStateful


def test_a_wrong_change_of_a_handler_names_the_member_and_not_the_branch_of_its_union() -> None:
    body = RunCreateStateful(assistant_id="agent")
    with pytest.raises(ValueError, match=r"the request's interrupt_before\.0 to what is not valid"):
        changed_body(body, {"interrupt_before": [3]})
