"""One global handler, as LangGraph's tutorial has it: it stamps the owner, and filters by it.

`x-plain` leaves out the stamp.
"""

from __future__ import annotations

from typing import Any

from langgraph_sdk import Auth

auth = Auth()


@auth.authenticate
async def authenticate(headers: dict[bytes, bytes]) -> Any:
    name = headers.get(b"x-name")
    if name is None:
        raise Auth.exceptions.HTTPException(status_code=401, detail="no name")
    return {
        "identity": name.decode(),
        "stamps": b"x-plain" not in headers,
        "moves": headers.get(b"x-moves", b"").decode(),
    }


@auth.on
async def owner(ctx: Auth.types.AuthContext, value: Any) -> dict[str, str]:
    if ctx.user["stamps"]:
        value.setdefault("metadata", {})["owner"] = ctx.user.identity
    if moved := ctx.user.get("moves"):
        value[moved] = "another"
    return {"owner": ctx.user.identity}
