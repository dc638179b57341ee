"""What `serve` prints when everything is ready.

Run as a short-lived process of its own: asking over HTTP costs four megabytes that the supervisor, which imports `Facts`
from here, would keep for good.
Reads `Facts` as JSON on standard input, writes the greeting.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

TIMEOUT = 3.0
"""Seconds that the server has to say what it serves."""

PATIENCE = 5.0
"""Seconds that the first sync of the catalogue has before the greeting goes out without it."""

_USUAL = "http://127.0.0.1:2024"
"""Where programs look that were told nothing."""

_MOST = 1000

_EXAMPLE = """\
{python} - <<'END'
from langgraph_sdk import get_sync_client

client = get_sync_client(url="{url}")
thread = client.threads.create()
question = {{"messages": [{{"role": "user", "content": "{question}"}}]}}
for part in client.runs.stream(thread["thread_id"], "{assistant}", input=question, stream_mode="messages-tuple"):
    if part.event == "messages" and part.data[0]["type"] == "AIMessageChunk":
        print(part.data[0]["content"], end="", flush=True)
print()
END
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """`processes` are names and pids; `database` has no password in it.

    `expects_agents`: a catalogue is synced, in the background, so the first agents may take a moment.
    `agent` is the name of the one to talk to first, where it is served, and `question` what to say to it.
    """

    url: str
    database: str
    processes: list[tuple[str, int]]
    seconds: float
    sockets: str = ""
    expects_agents: bool = False
    agent: str = ""
    question: str = "Hello! What can you do?"
    as_json: bool = False
    colour: bool = False

    def json(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Served:
    """What the server answered: its assistants, or the `reason` why it did not say."""

    assistants: list[dict[str, Any]]
    reason: str = ""

    @property
    def agents(self) -> list[dict[str, Any]]:
        """Those that come from a catalogue's row."""
        return [one for one in self.assistants if (one.get("metadata") or {}).get("supabase_agent_id")]

    def first(self, name: str) -> str:
        """The assistant to talk to first: the agent of that name, else any agent, else the graph."""
        agents = sorted(self.agents, key=lambda one: one.get("name") != name)
        return str(agents[0]["assistant_id"]) if agents else "agent"


def ask(url: str) -> Served:
    """One search, so at most 1,000 assistants are counted."""
    import urllib.error
    import urllib.request

    request = urllib.request.Request(  # noqa: S310 - our own address
        f"{url}/assistants/search",
        data=json.dumps({"limit": _MOST, "sort_by": "name", "sort_order": "asc"}).encode(),
        headers={"Content-Type": "application/json"},
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=TIMEOUT) as answer:
            return Served(json.load(answer))
    except urllib.error.HTTPError as error:
        return Served([], "a token is needed to ask" if error.code in {401, 403} else f"it answered {error.code}")
    except (OSError, ValueError) as error:
        return Served([], f"it did not answer: {error}")


def ask_until_known(facts: Facts) -> Served:
    """The first answer that has agents, when some are expected; the last one after PATIENCE seconds."""
    until = time.monotonic() + PATIENCE
    while True:
        served = ask(facts.url)
        if served.agents or served.reason or not facts.expects_agents or time.monotonic() > until:
            return served
        time.sleep(0.1)


def _agents(served: Served) -> str:
    if served.reason:
        return f"not known: {served.reason}"
    names = [str(one.get("name")) for one in served.agents]
    shown = ", ".join(names[:6]) + (", …" if len(names) > 6 else "")  # noqa: PLR2004 - a line's worth
    others = len(served.assistants) - len(names)
    count = f"{len(names)}+" if len(served.assistants) >= _MOST else str(len(names))
    return f"{count} from the catalogue{f' ({shown})' if names else ''}, {others} of graphs"


def _lines(facts: Facts, served: Served) -> list[tuple[str, str]]:
    return [
        ("server", facts.url),
        ("docs", f"{facts.url}/docs"),
        *([("sockets", facts.sockets)] if facts.sockets else []),
        ("database", facts.database),
        ("processes", ", ".join(f"{name} {pid}" for name, pid in facts.processes)),
        ("agents", _agents(served)),
        ("ready in", f"{facts.seconds:.1f} s"),
    ]


def for_people(facts: Facts, served: Served) -> str:
    strong, plain = ("\x1b[1m", "\x1b[0m") if facts.colour else ("", "")
    table = "\n".join(f"  {strong}{name:<10}{plain} {text}" for name, text in _lines(facts, served))
    example = _EXAMPLE.format(
        python=shlex.quote(sys.executable),
        url=facts.url,
        assistant=served.first(facts.agent),
        question=facts.question,
    )
    elsewhere = "" if facts.url == _USUAL else f"Programs in other terminals: export AGENTHALL_URL={facts.url}\n"
    return (
        f"\n{strong}Agenthall is ready.{plain}\n\n{table}\n\n"
        f"{strong}A first conversation{plain} with langgraph-sdk, to paste into a shell:\n\n{example}\n{elsewhere}"
        "Stop with Ctrl-C: it lets running work finish; a second Ctrl-C does not.\n"
    )


def for_machines(facts: Facts, served: Served) -> str:
    shown = dict(_lines(facts, served))
    return json.dumps({"logger": "supervisor", "event": "ready", **shown, "example": served.first(facts.agent)}) + "\n"


def main() -> None:
    facts = Facts(**json.load(sys.stdin))
    render = for_machines if facts.as_json else for_people
    sys.stdout.write(render(facts, ask_until_known(facts)))


if __name__ == "__main__":
    main()
