"""The diagram and the tables of the architecture page, generated from the import contracts in pyproject.toml.

`make docs` writes them; `make lint` fails when they are stale. A package in a contract without a description here is an
error.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TOP = "robyn_server"

PACKAGES = {
    "__main__": "`python -m robyn_server`, the same as `agenthall`.",
    "agent": "`get_agent_tool_info`, for products that show an agent's tools.",
    "agent_sync": "Keeps assistants equal to the catalogue: reads it, decides, writes, follows its changes.",
    "app": "Composition roots: one module for each command builds what the command needs from the settings.",
    "cli": "Commands, their options, their output and exit codes.",
    "concurrency": "Periodic loops, caches, single flight, prefetching.",
    "credentials": "Credentials for MCP servers: encrypted with the server's keys, and found for each run.",
    "core": "Values and decisions: errors, ids, principals, scopes, run states. No I/O, no clock, no framework.",
    "doctor": "Checks the machine, the settings and the database. Each start runs some of them.",
    "projects": "`langgraph.json`: a project as variables of the environment",
    "files": "Where migrations and the demo are, in a checkout and in a wheel.",
    "ports": "Find a free port, and hold a port for a server.",
    "graphs": "LangGraph: loads graphs, executes runs, reads checkpoints, draws graphs.",
    "egress": "Opens connections only to addresses that the egress policy allows.",
    "identity": "Turns credentials into principals: API keys, tokens, tickets, loopback.",
    "logs": "The format of log lines.",
    "log_writer": "Writes log lines from a thread, in their order.",
    "metrics": "Definitions of all metrics, and how they are exposed.",
    "redis_streams": "Redis or Valkey: connects, and keeps the events of runs in streams..",
    "registry": "Agents that run elsewhere: instances, manifests, configurations, leases.",
    "backup": "Saves and restores the database with pg_dump and pg_restore.",
    "run_events": "The event stream of a run: the worker writes it, the web process reads it.",
    "services": "Use cases of the LangGraph API: assistants, threads, runs. One decision and one transaction each.",
    "terminal": "Colours of a terminal, and text without control characters.",
    "settings": "Each environment variable, its default and its meaning.",
    "sockets": "The sockets process: WebSocket sessions that register, send heartbeats, discover and watch.",
    "storage": "PostgreSQL: named queries in `storage/sql/`, rows in, values of `core` out. Also applies migrations.",
    "supervisor": "`agenthall serve`: starts, watches and stops the processes and the embedded PostgreSQL.",
    "tracing": "OpenTelemetry: spans of requests, runs, models and tools. Optional.",
    "web": "The web process: HTTP requests, routes, request bodies, streams.",
    "worker": "The worker process: claims runs, executes them, renews their leases.",
}


def layers() -> str:
    """Draw the layers of the server: each may import what is below it."""
    lines = ["```mermaid", "flowchart TD"]
    found = list(_layers(TOP))
    for number, packages in enumerate(found):
        lines += [f'    subgraph layer{number}[" "]', "        direction LR"]
        lines += [f'        package_{name}["{name}"]' for name in packages]
        lines += ["    end"]
    lines += [f"    layer{number} --> layer{number + 1}" for number in range(len(found) - 1)]
    return "\n".join([*lines, "```"])


def packages() -> str:
    """List the packages from above to below, with what each is for."""
    rows = [f"| `{name}` | {PACKAGES[name]} |" for packages in _layers(TOP) for name in packages]
    return "\n".join(["| package | purpose |", "| --- | --- |", *rows])


def inside() -> str:
    """List the order inside those packages that have a contract of their own."""
    rows = []
    for contract in _contracts("layers"):
        for container in contract.get("containers", []):
            if container != TOP:
                order = " → ".join(", ".join(f"`{name}`" for name in _names(layer)) for layer in contract["layers"])
                rows.append(f"| `{container.removeprefix(TOP + '.')}` | {order} |")
    return "\n".join(["| package | its modules and packages, from above to below |", "| --- | --- |", *rows])


def _contracts(kind: str) -> list[dict[str, Any]]:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return [each for each in tomllib.loads(text)["tool"]["importlinter"]["contracts"] if each["type"] == kind]


def _layers(package: str) -> Iterator[list[str]]:
    """Yield the layers of a package: those of its first contract, whether that has containers or full names."""
    for contract in _contracts("layers"):
        if contract.get("containers", [package]) == [package]:
            for layer in contract["layers"]:
                yield [name.removeprefix(f"{package}.") for name in _names(layer)]
            return


def _names(layer: str) -> list[str]:
    return [name.strip("() ") for name in layer.replace(":", "|").split("|")]
