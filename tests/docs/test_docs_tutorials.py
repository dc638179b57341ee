"""The tutorials and the README work as they stand: their commands and programs are run against the demo that `agenthall
serve` starts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from commands.tutorial_reader import Reader
from doc_pages import DOCS, ROOT, blocks
from node import TYPESCRIPT_CLIENT, build_typescript_client, environment
from servers.live_server import free_port

README = ROOT / "README.md"
ON_YOUR_MACHINE = DOCS / "how-to" / "run-on-your-machine.md"
FIRST_AGENT = DOCS / "tutorials" / "first-agent.md"
FIRST_BOT = DOCS / "tutorials" / "first-bot.md"
TYPESCRIPT_README = TYPESCRIPT_CLIENT / "README.md"
STRICT = {"target": "es2022", "module": "nodenext", "types": [], "lib": ["es2022", "dom"], "strict": True}


@pytest.fixture(scope="module")
async def reader(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Reader]:
    one = Reader(tmp_path_factory.mktemp("reader"), free_port())
    server = one.start(f"{sys.executable} -m robyn_server serve --port {one.port}", "serve.log")
    try:
        await one.printed("serve.log", "Agenthall is ready")
        yield one
    finally:
        server.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(30)
        server.kill()


async def test_the_first_agent_answers_changes_and_goes(reader: Reader) -> None:
    (ask,) = blocks(FIRST_AGENT, "python")
    question, insert, two_questions, look, edit, look_again, disable, enable = blocks(FIRST_AGENT, "sh")
    reader.save("ask.py", ask)
    chat = next(command for command in blocks(FIRST_AGENT, "") if "agenthall chat" in command)
    assert "BGB § 535" in reader.do(f"env -u AGENTHALL_URL {chat.strip()} --once 'What does the law say about rent?'")
    assert "BGB § 535" in reader.do(question)
    reader.do(insert)
    await reader.answers(look, '"version" : 1', "You answer questions about rent")
    printed = reader.do(two_questions)
    assert "The tool search_law answered" in printed
    assert "who pays for repairs?" in printed.rpartition("The first thing that you said was")[2]
    reader.do(edit)
    await reader.answers(look_again, '"version" : 2', "You answer in rhymes.")
    reader.do(disable)
    await reader.answers(look, '"status":404')
    reader.do(enable)
    await reader.answers(look, "You answer in rhymes.")


@pytest.mark.parametrize("page", [README, ON_YOUR_MACHINE], ids=["README", "how-to"])
async def test_the_conversation_of_the_page_takes_place(reader: Reader, page: Path) -> None:
    (conversation,) = blocks(page, "python")
    reader.save("conversation.py", conversation)
    printed = reader.do(".venv/bin/python conversation.py")
    assert "The tool search_law answered" in printed
    assert "what about rent?" in printed.rpartition("The first thing that you said was")[2]


async def test_the_readme_has_at_most_80_lines_and_begins_with_two_commands() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 80
    assert blocks(README, "")[:2] == ["make serve\n", "make test\n"]


async def test_the_chat_of_the_readme_answers(reader: Reader) -> None:
    chat = next(command for command in blocks(README, "") if "agenthall chat" in command)
    assert "BGB § 535" in reader.do(f"{chat.strip()} --once 'What does the law say about rent?'")


async def test_the_first_bot_is_found_comes_back_and_is_drained(reader: Reader) -> None:
    bot, answer = blocks(FIRST_BOT, "python")
    watch, register, find, run, drain, run_answer, chat = blocks(FIRST_BOT, "sh")
    reader.save("bot.py", bot)
    reader.save("answer.py", answer)
    started = [reader.start(watch, "watch.log")]
    try:
        await reader.printed("watch.log", "EVENT")
        started.append(reader.start(register, "register.log"))
        await reader.printed("watch.log", "registered")
        assert reader.do(find).count("desk-4711") == 2
        first = reader.start(run, "bot.log")
        started.append(first)
        await reader.printed("bot.log", "in epoch 1")
        await reader.printed("bot.log", "found desk-4711 healthy")
        assert f"process {first.pid} registered as" in (reader.folder / "bot.log").read_text()
        first.kill()
        await reader.printed("watch.log", "disconnected")
        started.append(reader.start(run, "bot.log"))
        await reader.printed("bot.log", "in epoch 2")
        await reader.printed("watch.log", "reconnected")
        reader.do(drain)
        await reader.printed("watch.log", "deregistered")
        assert started[1].wait(30) == 0
        started[-1].kill()
        started.append(reader.start(run_answer, "answer.log"))
        await reader.answers(chat, "olleh dlrow")
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
async def run_typescript(reader: Reader) -> str:
    """Compile the programs in TypeScript. Return the command that runs one of them, without its name."""
    node = await asyncio.to_thread(build_typescript_client)
    project = reader.folder / "typescript"
    (project / "node_modules" / "@agenthall").mkdir(parents=True)
    (project / "node_modules" / "@agenthall" / "client").symlink_to(TYPESCRIPT_CLIENT)
    (project / "package.json").write_text('{"type": "module"}')
    (project / "tsconfig.json").write_text(json.dumps({"compilerOptions": {**STRICT, "outDir": "dist"}}))
    for number, program in enumerate(blocks(FIRST_BOT, "ts")):
        reader.save(f"typescript/tutorial{number}.ts", program)
    for number, program in enumerate(blocks(TYPESCRIPT_README, "ts")):
        reader.save(f"typescript/readme{number}.ts", program)
    compiler = TYPESCRIPT_CLIENT / "node_modules" / "typescript" / "bin" / "tsc"
    done = subprocess.run([node, compiler], cwd=project, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return f"{node} typescript/dist/"


@pytest.mark.parametrize(
    ("program", "answer"),
    [
        ("tutorial0.js", "You said: hello world"),
        ("readme1.js", "You wrote 1 messages."),
        ("readme2.js", "Looking …"),
    ],
)
async def test_a_bot_in_typescript_answers(reader: Reader, run_typescript: str, program: str, answer: str) -> None:
    *_, chat = blocks(FIRST_BOT, "sh")
    bot = reader.start(run_typescript + program, "typescript.log")
    try:
        await reader.answers(chat, answer)
    finally:
        bot.kill()
        bot.wait()


async def test_an_instance_in_typescript_is_found_watched_and_drained(reader: Reader, run_typescript: str) -> None:
    reader.do(f"{run_typescript}readme3.js")  # describes an instance, and does not register it
    in_europe = "agents register ide-agent --capability debugging --zone eu --version 1.4.0 --instance-id europe"
    started = [reader.start(f".venv/bin/agenthall {in_europe}", "register-europe.log")]
    try:
        await reader.answers(".venv/bin/agenthall agents list --capability debugging", "europe")
        started.append(reader.start(f"{run_typescript}readme4.js", "typescript-watch.log"))
        await reader.printed("typescript-watch.log", "listed")
        assert "europe" in (reader.folder / "typescript-watch.log").read_text()
        started.append(reader.start(f"{run_typescript}readme0.js", "typescript-instance.log"))
        await reader.printed("typescript-instance.log", " 1\n")
        started[2].send_signal(signal.SIGTERM)
        assert started[2].wait(30) == 0
    finally:
        for process in started:
            process.kill()
            process.wait()
