"""A shelf of documents as an MCP server: search_docs, read_document, word_count. `--port N`, loopback, /mcp."""

from __future__ import annotations

import argparse
import json
from typing import Any

import uvicorn
from mcp.server.fastmcp import FastMCP

DOCUMENTS = {
    "lease-2024": "Lease agreement for the flat in Mill Lane 4. Rent is 940 euros a month, due on the third day. "
    "Notice is three months to the end of a month.",
    "onboarding": "Welcome to the team. On your first day you get a laptop, a key and a guide. Ask the guide anything.",
    "minutes-may": "Minutes of the meeting in May. Decided: one database, one server, one command. Open: the colour of "
    "the console.",
    "privacy": "Privacy notice. We keep what we need, for as long as we need it, and erase it when you ask us to.",
}


def server() -> FastMCP:
    mcp = FastMCP("documents", log_level="CRITICAL")

    @mcp.tool()
    def search_docs(query: str) -> str:
        """Search the documents on the shelf: leases, minutes of meetings, onboarding, privacy notices."""
        _log("search_docs", query=query)
        found = [f"{name}: {text[:80]}…" for name, text in DOCUMENTS.items() if _matches(query, name, text)]
        return "\n".join(found) or f"No document mentions {query!r}. There are: {', '.join(DOCUMENTS)}."

    @mcp.tool()
    def read_document(id: str) -> str:  # noqa: A002  the tool's argument is called so
        """Read a whole document by its id, for example id lease-2024."""
        _log("read_document", id=id)
        if id not in DOCUMENTS:
            raise ValueError(f"No document has the id {id!r}. There are: {', '.join(DOCUMENTS)}.")
        return DOCUMENTS[id]

    @mcp.tool()
    def word_count(text: str) -> int:
        """Count the words of a text."""
        _log("word_count", text=text)
        return len(text.split())

    return mcp


def _matches(query: str, name: str, text: str) -> bool:
    words = [word for word in query.casefold().replace("?", " ").split() if len(word) > 3]  # noqa: PLR2004  "the", "all"
    return any(word.rstrip("s") in f"{name} {text}".casefold() for word in words or [query.casefold()])


def _log(tool: str, **arguments: Any) -> None:
    print(f"tool {tool} {json.dumps(arguments, ensure_ascii=False)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8003)
    app = server().streamable_http_app()
    # a client's event stream never ends by itself, so without a grace the server would wait for it for ever
    uvicorn.run(app, host="127.0.0.1", port=parser.parse_args().port, log_level="critical", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
