"""Handlers of a project with teams.

A token is `name:team`, with permissions behind it: `ada:red:delete,agenthall:admin`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from langgraph_sdk import Auth

auth = Auth()
HTTPException = Auth.exceptions.HTTPException


@auth.authenticate
async def authenticate(authorization: str | None, headers: dict[bytes, bytes], method: str, path: str) -> Any:
    if headers.get(b"authorization", b"").decode() != (authorization or ""):
        raise RuntimeError("headers and authorization differ")
    if not authorization:
        raise HTTPException(status_code=401, detail="no token", headers={"WWW-Authenticate": "Teams"})
    token = authorization.removeprefix("Bearer ")
    if token in _ODD:
        return await _ODD[token](method, path)
    name, team, *permissions = token.split(":", 2)
    return {
        "identity": name,
        "team": team,
        "secret": "for the graph only",
        "permissions": permissions[0].split(",") if permissions else [],
    }


async def _teapot(method: str, path: str) -> Any:
    raise HTTPException(status_code=418, detail=f"{method} {path}")


async def _welcome(_method: str, _path: str) -> Any:
    raise HTTPException(status_code=200, detail="come in")


async def _bug(_method: str, _path: str) -> Any:
    return {}["missing_member"]


async def _slow(_method: str, _path: str) -> Any:
    await asyncio.sleep(3600)


async def _cancelled(_method: str, _path: str) -> Any:
    raise asyncio.CancelledError


async def _exiting(_method: str, _path: str) -> Any:
    raise SystemExit(1)


async def _none(_method: str, _path: str) -> Any:
    return None


async def _system(_method: str, _path: str) -> Any:
    return "system"


async def _inactive(_method: str, _path: str) -> Any:
    return {"identity": "ada", "is_authenticated": False}


_ODD: dict[str, Any] = {
    "teapot": _teapot,
    "welcome": _welcome,
    "bug": _bug,
    "slow": _slow,
    "cancelled": _cancelled,
    "exiting": _exiting,
    "none": _none,
    "system": _system,
    "inactive": _inactive,
}


def _stamped(ctx: Auth.types.AuthContext, value: Any) -> dict[str, str]:
    value["metadata"] = {**(value.get("metadata") or {}), "team": ctx.user["team"]}
    return {"team": ctx.user["team"]}


@auth.on
async def deny(ctx: Auth.types.AuthContext, value: Any) -> bool:
    return False


@auth.on.threads
async def threads(ctx: Auth.types.AuthContext, value: Any) -> Any:
    return _stamped(ctx, value)


@auth.on.threads.create_run
async def create_run(ctx: Auth.types.AuthContext, value: Any) -> Any:
    if "guest" in ctx.permissions:
        return False
    if "closed" in ctx.permissions:
        raise HTTPException(status_code=402, detail="no budget")
    if "stamped" in ctx.permissions:
        value["kwargs"]["input"] = {"text": f"{value['assistant_id']} for {ctx.user.identity}"}
    if "confused" in ctx.permissions:
        value["kwargs"]["inptu"] = {}
    return _stamped(ctx, value)


@auth.on.threads.read
async def read_thread(ctx: Auth.types.AuthContext, value: Any) -> Any:
    return {"team": {"$eq": ctx.user["team"]}}


@auth.on.threads.update
async def update_thread(ctx: Auth.types.AuthContext, value: Any) -> Any:
    return {"team": ctx.user["team"]} if "reader" not in ctx.permissions else False


@auth.on.threads.delete
async def delete_thread(ctx: Auth.types.AuthContext, value: Any) -> Any:
    return {"team": ctx.user["team"]} if "delete" in ctx.permissions else False


@auth.on.assistants.create
async def create_assistant(ctx: Auth.types.AuthContext, value: Any) -> Any:
    value["metadata"] = {**(value.get("metadata") or {}), "teams": [ctx.user["team"]]}


@auth.on.assistants(actions=["read", "search", "update"])
async def use_assistants(ctx: Auth.types.AuthContext, value: Any) -> Any:
    return {"teams": {"$contains": ctx.user["team"]}}


@auth.on.store
async def store(ctx: Auth.types.AuthContext, value: Any) -> None:
    value["namespace"] = (ctx.user.identity, *(value.get("namespace") or ()))
