"""The FastAPI app of a project: routes beside the server's, in place of one, and with credentials of their own."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI
from fastapi.security import HTTPBearer
from pydantic import BaseModel

app = FastAPI(docs_url=None)
router = APIRouter(prefix="/threads", tags=["Titles"])


class Problem(BaseModel):
    """A name that the server's document has, too."""

    reason: str


class Title(BaseModel):
    text: str
    problems: list[Problem] = []


@router.put("/{thread}/title", operation_id="get_info")
def put_title(thread: str, title: Title) -> Title:
    return Title(text=f"{thread}: {title.text}")


@router.get("/{thread}")
def get_thread(thread: str) -> Title:
    return Title(text=thread)


@app.get("/guarded")
def guarded(_credentials: Annotated[object, Depends(HTTPBearer())]) -> str:
    return "open"


@app.get("/ok")
def hidden() -> str:
    return "never"


app.include_router(router)
