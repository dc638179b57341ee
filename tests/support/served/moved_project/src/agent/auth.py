"""Two users, by their tokens. Each has their own threads, and the store below their name."""

from __future__ import annotations

from typing import Any

from langgraph_sdk import Auth

USERS = {"Bearer ada-token": "ada", "Bearer bob-token": "bob"}

auth = Auth()


@auth.authenticate
async def authenticate(authorization: str | None) -> Auth.types.MinimalUserDict:
    if authorization not in USERS:
        raise Auth.exceptions.HTTPException(status_code=401, detail="Unknown token")
    return {"identity": USERS[authorization]}


@auth.on.threads
async def own_threads(ctx: Auth.types.AuthContext, value: dict[str, Any]) -> dict[str, Any]:
    filters = {"owner": ctx.user.identity}
    value.setdefault("metadata", {}).update(filters)
    return filters


@auth.on.store()
async def own_items(ctx: Auth.types.AuthContext, value: dict[str, Any]) -> None:
    namespace = value.get("namespace") or ()
    if not namespace or namespace[0] != ctx.user.identity:
        raise Auth.exceptions.HTTPException(status_code=403, detail="Not your items")
