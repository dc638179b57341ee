"""The handlers of the recorded exchanges about authorization: a user owns threads, creates no assistants, and has a
part of the store."""

from __future__ import annotations

from typing import Any

from langgraph_sdk import Auth

auth = Auth()


@auth.authenticate
async def authenticate(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    if scheme != "Bearer":
        raise Auth.exceptions.HTTPException(status_code=401, detail="no token")
    if not token.startswith("tok-"):
        raise Auth.exceptions.HTTPException(status_code=401, detail="bad token")
    return token.removeprefix("tok-")


@auth.on.threads
async def own_threads(ctx: Auth.types.AuthContext, value: Any) -> dict[str, str]:
    value.setdefault("metadata", {})["owner"] = ctx.user.identity
    return {"owner": ctx.user.identity}


@auth.on.assistants.create
async def no_assistants(ctx: Auth.types.AuthContext, value: Any) -> bool:
    return False


@auth.on.store
async def own_store(ctx: Auth.types.AuthContext, value: Any) -> None:
    value["namespace"] = (ctx.user.identity, *(value.get("namespace") or ()))
