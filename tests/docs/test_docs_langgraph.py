"""The tutorial about a LangGraph project works as it stands: its programs are saved and its commands run."""

from __future__ import annotations

from pathlib import Path

from commands.tutorial_reader import Reader
from doc_pages import DOCS, blocks
from servers.served_project import serving

PAGE = DOCS / "tutorials" / "langgraph-project.md"
WORD_COUNT, LAST_LINE, APPROVAL, PUBLISH = blocks(PAGE, "python")
START, ASK, ASK_AGAIN, RUN = blocks(PAGE, "sh")
(CONFIGURATION,) = blocks(PAGE, "json")


async def test_the_project_is_made_changed_and_answered(tmp_path: Path, database: str) -> None:
    new, _, dev = START.splitlines()
    assert dev.endswith("agenthall dev")
    Reader(tmp_path, 0).do(new)
    folder = tmp_path / "my-agent"
    (folder / ".env").write_text(f"DATABASE_URL={database}\n")
    async with serving(folder, command="dev") as (url, _):
        reader = Reader(folder, int(url.rpartition(":")[2]))
        assert "The tool current_time answered" in reader.do(ASK)

        agent = folder / "agent.py"
        above, before, below = agent.read_text().partition("def load_model")
        agent.write_text(f"{above}{WORD_COUNT}\n\n{before}{below}".rpartition("graph =")[0] + LAST_LINE)
        await reader.printed("serve.log", "agent.py changed; reloading")
        await reader.answers(ASK_AGAIN, "The tool word_count answered")

        reader.save("approval.py", APPROVAL)
        reader.save("langgraph.json", CONFIGURATION)
        reader.save("publish.py", PUBLISH)
        await reader.answers(RUN, "{'question': 'Publish this?', 'draft': 'Three sentences about tea.'}")
        command = reader.do(RUN).splitlines()[-1]
        printed = reader.do(f"../.venv/bin/{command}")
        assert printed.startswith("published: True\n")
        assert "next: ['review']" in printed
