"""The banner that `serve` prints when everything is ready.

It runs as a short-lived process, because it waits for the server's response and for the first sync, for seconds.
Meanwhile the supervisor, which has one thread, must react to signals and exits. The process reads a `Banner` as JSON on
standard input.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from robyn_server import __version__

from .banner_layout import chat_row, render_head, terminal_columns

TIMEOUT_SECONDS = 3.0
"""Time that the server has to list its assistants."""

FIRST_SYNC_SECONDS = 5.0
"""Time that the first sync of the catalogue has before the banner is printed without its agents."""

_DEFAULT_URL = "http://127.0.0.1:2024"
"""Address that programs use by default."""

_SEARCH_LIMIT = 1000
_FIELDS = ["assistant_id", "graph_id", "name", "metadata"]
"""Without the prompts, of which a thousand may be larger than an answer may be."""

_GRAPH = "agent"

_EXAMPLE = """\
{python} - <<'END'
{imports}from langgraph_sdk import get_sync_client

client = get_sync_client(url="{url}"{credentials})
{choice}
thread = client.threads.create()
question = {{"messages": [{{"role": "user", "content": "{question}"}}]}}
for part in client.runs.stream(thread["thread_id"], assistant, input=question, stream_mode="messages-tuple"):
    if part.event == "error":
        raise SystemExit(f"{{part.data['error']}}: {{part.data['message']}}")
    if part.event == "messages" and part.data[0]["type"] in ("AIMessageChunk", "ai"):
        print(part.data[0]["content"], end="", flush=True)
print()
END
"""

_KEY = "export AGENTHALL_API_KEY=$({python} -m robyn_server keys create --name 'first conversation' --scope admin --expires 1h{where})\n"
"""A key of an administrator needs no organization and sees the agents of all."""

HANDLERS = "handlers"
"""Stands for a mode of authentication where handlers of a project decide."""

_AUTHORIZATION = "export AUTHORIZATION='Bearer …'  # credentials that the project's handlers accept\n"

_CHOICE = """\
fields = ["assistant_id", "name", "metadata"]
found = client.assistants.search(limit=1000, sort_by="name", sort_order="asc", select=fields)
agents = [one for one in found if "supabase_agent_id" in (one["metadata"] or {{}})]
assistant = min(agents or found, key=lambda one: one["name"] != "{agent}")["assistant_id"]"""


@dataclass(frozen=True, slots=True)
class Banner:
    """The content of the banner. `processes` are names and pids; `database` contains no password.

    `public_url`: of clients elsewhere, where a proxy is in front; `url` is then for this machine.
    `expects_agents`: a catalogue is synced in the background, so agents may appear a moment later.
    `agent` and `question`: name of the agent of the first conversation, if it is served, and the first message.
    `auth_mode`: unless it is none, the first conversation needs a key, or with HANDLERS other credentials.
    `data_dir`: of the embedded database; empty without one.
    `project`: the langgraph.json that the graphs are from, and `graphs` their ids; both empty without one.
    `app`: the project's own ASGI app; empty without one.
    """

    url: str
    database: str
    processes: list[tuple[str, int]]
    seconds: float
    public_url: str = ""
    sockets: str = ""
    expects_agents: bool = False
    agent: str = ""
    question: str = "Hello! What can you do?"
    auth_mode: str = "none"
    data_dir: str = ""
    project: str = ""
    graphs: Sequence[str] = ()
    app: str = ""
    as_json: bool = False
    colour: bool = False

    def json(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class AssistantList:
    """The assistants of the server, or the reason why they are unknown.

    `synced`: the number of agents, where only that is known. `unserved`: agents of the catalogue that are not served.
    """

    assistants: list[dict[str, Any]]
    reason: str = ""
    synced: int | None = None
    unserved: int = 0

    @property
    def agents(self) -> list[dict[str, Any]]:
        """Assistants that come from the catalogue."""
        return [one for one in self.assistants if (one.get("metadata") or {}).get("supabase_agent_id")]

    def first(self, name: str) -> str:
        """Return the id of the agent with that name, else of any agent, else the graph `agent`, else any assistant."""
        agents = sorted(self.agents, key=lambda one: one.get("name") != name)
        if agents:
            return str(agents[0]["assistant_id"])
        others = [one for one in self.assistants if one.get("graph_id") != _GRAPH]
        return str(others[0]["assistant_id"]) if len(others) == len(self.assistants) > 0 else _GRAPH


def fetch_synced(url: str) -> AssistantList:
    """Read the number of agents from the readiness report, which needs no credentials."""
    import urllib.error
    import urllib.request

    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{url}/ok", timeout=TIMEOUT_SECONDS) as answer:
            report = json.load(answer)["services"]["agent_sync"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return AssistantList([], f"the server does not answer: {error}")
    return AssistantList([], synced=report.get("total"), unserved=report.get("unserved_agents", 0))


def fetch_assistants(url: str) -> AssistantList:
    """Search once, so at most 1,000 assistants are counted."""
    import urllib.error
    import urllib.request

    request = urllib.request.Request(  # noqa: S310 - our own address
        f"{url}/assistants/search",
        data=json.dumps({"limit": _SEARCH_LIMIT, "sort_by": "name", "sort_order": "asc", "select": _FIELDS}).encode(),
        headers={"Content-Type": "application/json"},
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=TIMEOUT_SECONDS) as answer:
            return AssistantList(json.load(answer))
    except urllib.error.HTTPError as error:
        return AssistantList(
            [], "credentials are required" if error.code in {401, 403} else f"the server answers {error.code}"
        )
    except (OSError, ValueError) as error:
        return AssistantList([], f"the server does not answer: {error}")


def wait_for_agents(banner: Banner) -> AssistantList:
    """Return the first answer with agents, if some are expected, or the last answer after FIRST_SYNC_SECONDS."""
    until = time.monotonic() + FIRST_SYNC_SECONDS
    fetch = fetch_assistants if banner.auth_mode == "none" else fetch_synced
    while True:
        listed = fetch(banner.url)
        if fetch is fetch_assistants and not (listed.agents or listed.reason or banner.expects_agents):
            listed = replace(listed, unserved=fetch_synced(banner.url).unserved)
        if listed.agents or listed.synced or listed.reason or not banner.expects_agents or time.monotonic() > until:
            return listed
        time.sleep(0.1)


def _agents_text(listed: AssistantList) -> str:
    if listed.reason:
        return f"unknown: {listed.reason}"
    hint = f"; set AGENT_SYNC_SCOPE=all to serve the {listed.unserved} of the catalogue" if listed.unserved else ""
    if listed.synced is not None or not listed.assistants:
        return f"{listed.synced or 0} from the catalogue{hint}"
    names = [str(one.get("name")) for one in listed.agents]
    shown = ", ".join(names[:6]) + (", …" if len(names) > 6 else "")  # noqa: PLR2004 - a line's worth
    others = len(listed.assistants) - len(names)
    count = f"{len(names)}+" if len(listed.assistants) >= _SEARCH_LIMIT else str(len(names))
    return f"{count} from the catalogue{f' ({shown})' if names else ''}, {others} of graphs{hint}"


def _rows(banner: Banner, listed: AssistantList) -> list[tuple[str, str]]:
    return [
        ("server", banner.public_url or banner.url),
        ("console", f"{banner.public_url or banner.url}/console"),
        ("docs", f"{banner.public_url or banner.url}/docs"),
        *([("sockets", banner.sockets)] if banner.sockets else []),
        ("database", banner.database),
        ("processes", ", ".join(f"{name} {pid}" for name, pid in banner.processes)),
        *([("project", banner.project), ("graphs", ", ".join(banner.graphs))] if banner.project else []),
        *([("own routes", banner.app)] if banner.app else []),
        ("agents", _agents_text(listed)),
        ("ready in", f"{banner.seconds:.1f} s"),
    ]


def render_example(banner: Banner, listed: AssistantList) -> str:
    """Render the first conversation. It shows the error of a run that fails."""
    python = shlex.quote(sys.executable)
    if banner.auth_mode == "none":
        key, imports, credentials = "", "", ""
        choice = f'assistant = "{listed.first(banner.agent)}"'
    elif banner.auth_mode == HANDLERS:
        key, imports = _AUTHORIZATION, "import os\n"
        credentials = ', headers={"Authorization": os.environ["AUTHORIZATION"]}'
        choice = _CHOICE.format(agent=banner.agent)
    else:
        where = f" --data-dir {shlex.quote(banner.data_dir)}" if banner.data_dir else ""
        needs = "" if banner.data_dir else "# in an environment with the server's DATABASE_URL\n"
        key = needs + _KEY.format(python=python, where=where)
        imports, credentials = "import os\n", ', api_key=os.environ["AGENTHALL_API_KEY"]'
        choice = _CHOICE.format(agent=banner.agent)
    return key + _EXAMPLE.format(
        python=python,
        imports=imports,
        url=banner.url,
        credentials=credentials,
        choice=choice,
        question=banner.question,
    )


def render_text(banner: Banner, listed: AssistantList) -> str:
    strong, plain = ("\x1b[1m", "\x1b[0m") if banner.colour else ("", "")
    rows = [*_rows(banner, listed), *chat_row([str(one.get("name")) for one in listed.agents], banner.agent)]
    head = render_head(rows, __version__, colour=banner.colour, columns=terminal_columns())
    example = render_example(banner, listed)
    elsewhere = (
        "" if banner.url == _DEFAULT_URL else f"Programs in other terminals: export AGENTHALL_URL={banner.url}\n"
    )
    return (
        f"\n{head}\n\n"
        f"{strong}A first conversation{plain} with langgraph-sdk, to paste into a shell:\n\n{example}\n{elsewhere}"
        "Stop with Ctrl-C, which lets running work finish. A second Ctrl-C stops at once.\n"
    )


def render_json(banner: Banner, listed: AssistantList) -> str:
    shown = dict(_rows(banner, listed))
    return json.dumps({"logger": "supervisor", "event": "ready", **shown, "example": listed.first(banner.agent)}) + "\n"


def main() -> None:
    banner = Banner(**json.load(sys.stdin))
    render = render_json if banner.as_json else render_text
    sys.stdout.write(render(banner, wait_for_agents(banner)))


if __name__ == "__main__":
    main()
