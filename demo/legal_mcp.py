"""A small legal library as an MCP server: search_law and cite_law over a few built-in texts.

`--port N`, loopback, /mcp.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import uvicorn
from mcp.server.fastmcp import FastMCP

LAW = {
    (
        "BGB",
        "433",
    ): "By a purchase agreement, the seller of a thing is obliged to deliver the thing to the buyer and to "
    "procure ownership of the thing for the buyer. The buyer is obliged to pay the agreed price.",
    ("BGB", "535"): "A lease agreement imposes on the lessor a duty to grant the lessee use of the leased property for "
    "the lease period. The lessee is obliged to pay the lessor the agreed rent.",
    ("BGB", "573"): "The lessor may give notice of termination of a lease of residential space only if he has a "
    "justified interest in the ending of the lease.",
    ("BGB", "823"): "A person who, intentionally or negligently, unlawfully injures the life, body, health, freedom, "
    "property or another right of another person is liable to compensate for the damage.",
    ("StGB", "242"): "Whoever takes movable property belonging to another away from another with the intention of "
    "unlawfully appropriating it commits theft and is punished with imprisonment of up to five years or a fine.",
    ("GDPR", "17"): "The data subject has the right to obtain from the controller the erasure of personal data "
    "concerning him or her without undue delay.",
}


def server() -> FastMCP:
    mcp = FastMCP("legal", log_level="CRITICAL")

    @mcp.tool()
    def search_law(query: str) -> str:
        """Search the law: statutes and legal texts about contracts, rent, damages, theft and data protection."""
        _log("search_law", query=query)
        found = [f"{_citation(key)}: {text}" for key, text in LAW.items() if _matches(query, key, text)]
        return "\n".join(found) or f"No statute in this library mentions {query!r}."

    @mcp.tool()
    def cite_law(code: str, section: str) -> str:
        """Cite one section of a legal code word for word, for example code BGB, section 433."""
        _log("cite_law", code=code, section=section)
        wanted = code.strip().casefold(), section.strip().lstrip("§ ")
        for key, text in LAW.items():
            if (key[0].casefold(), key[1]) == wanted:
                return f"{_citation(key)}: {text}"
        raise ValueError(f"This library has no section {section} of {code}. It has: {', '.join(map(_citation, LAW))}.")

    return mcp


def _citation(key: tuple[str, str]) -> str:
    return f"{key[0]} § {key[1]}"


def _matches(query: str, key: tuple[str, str], text: str) -> bool:
    words = [word for word in query.casefold().replace("?", " ").split() if len(word) > 3]  # noqa: PLR2004  "the", "law"
    return any(word.rstrip("s") in f"{_citation(key)} {text}".casefold() for word in words or [query.casefold()])


def _log(tool: str, **arguments: Any) -> None:
    print(f"tool {tool} {json.dumps(arguments, ensure_ascii=False)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8002)
    app = server().streamable_http_app()
    # a client's event stream never ends by itself, so without a grace the server would wait for it for ever
    uvicorn.run(app, host="127.0.0.1", port=parser.parse_args().port, log_level="critical", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
