"""Handlers that authenticate only, in a thread and from the raw request."""

from __future__ import annotations

import time
from typing import Any

from langgraph_sdk import Auth

auth = Auth()


class Account:
    """A user as an object."""

    def __init__(self, name: str) -> None:
        self.identity = name
        self.display_name = name.title()
        self.is_authenticated = True
        self.permissions = ["chat"]
        self.team = "none"


@auth.authenticate
def authenticate(request: Any, query_params: dict[str, str], path_params: dict[str, str], body: Any) -> Any:
    name = request.headers.get("x-name")
    if name == "block":
        time.sleep(3600)
    if not name:
        raise Auth.exceptions.HTTPException
    return Account(name)
