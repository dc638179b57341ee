"""Record what the command line prints, as SVG pictures for the documentation.

Starts `agenthall serve` with its demo in a terminal of its own, types into others, and writes docs/images/*.svg. Ports,
paths, ids and times are replaced, so that the same program makes the same pictures.
"""

from __future__ import annotations

import contextlib
import html
import io
import re
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from scripts.terminal_screen import Terminal, screen_lines

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
SHOWN = ".venv/bin/agenthall"
PROGRAM = str(Path(sys.executable).parent / "agenthall")
COLUMNS, WIDE = 100, 132
QUESTION = "What does the law say about rent?"
SHOWN_PORT = 2024
START_SECONDS = 120

_PROMPT = "\x1b[1;32m$\x1b[0m "
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_PICTURE = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" role="img" xmlns="http://www.w3.org/2000/svg">
<title>TITLE</title>
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px;
  line-height: {line_height}px;
}}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
@media (prefers-reduced-motion: no-preference) {{
  .{unique_id}-matrix text {{ animation: {unique_id}-appear 0.2s both; }}
}}
@keyframes {unique_id}-appear {{ from {{ opacity: 0; }} }}
DELAYS
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""rich's picture without its font, which comes from another host, and with lines that appear one after the other."""


class Recorder:
    """A running demo, and the recordings of it."""

    def __init__(self, data: Path, port: int) -> None:
        self._data, self._port = data, port

    def serve(self, terminal: Terminal) -> str:
        """Record the start of the server, which goes on."""
        terminal.wait_for("╰──", START_SECONDS)
        command = f"{_PROMPT}AGENTHALL_LOG_LEVEL=warning make serve\n"
        return self._normalized(command + terminal.printed.partition("╰──")[0] + "╰──")

    def chat(self) -> str:
        """Record a conversation."""
        with self._terminal("chat 'Legal Researcher'") as terminal:
            terminal.wait_for("you>")
            terminal.type(QUESTION + "\r")
            terminal.wait_for("you>", after="result alone.)")
            terminal.type("\x04")
            terminal.wait_for_end()
            return self._normalized(f"{_PROMPT}{SHOWN} chat 'Legal Researcher'\n{terminal.printed}")

    def watch(self) -> str:
        """Record how an instance comes and goes."""
        with self._terminal("agents watch", WIDE) as terminal:
            terminal.wait_for("EVENT")
            with self._terminal("agents register my-bot --capability summarise --instance-id desk-4711"):
                terminal.wait_for("registered")
                with self._terminal("agents drain desk-4711 --reason 'end of the day'") as drain:
                    drain.wait_for_end()
                terminal.wait_for("deregistered")
            terminal.type("\x03")
            terminal.wait_for_end()
            return self._normalized(f"{_PROMPT}{SHOWN} agents watch\n{terminal.printed}")

    def _terminal(self, command: str, columns: int = COLUMNS) -> contextlib.AbstractContextManager[Terminal]:
        return Terminal.running(f"{PROGRAM} {command} --data-dir {self._data}", ROOT, columns)

    def _normalized(self, printed: str) -> str:
        text = printed.replace(str(self._data), "/srv/agenthall/.agenthall").replace(PROGRAM, SHOWN)
        for offset in range(4):
            text = text.replace(f":{self._port + offset}", f":{SHOWN_PORT + offset}")
        text = text.replace(", as a user namespace", "")
        text = re.sub(r"(web|worker|sockets|-mcp) \d+", r"\1 …", text)
        text = re.sub(r"(ready in *\x1b\[0m) [\d.]+ s", r"\1 …", text)
        text = re.sub(r"\d\d:\d\d:\d\d", "12:00:00", text)
        return _ID.sub(_same_length("348878b8-8e22-421d-81f3-ec05c6ccb303"), text)


def _same_length(text: str) -> Callable[[re.Match[str]], str]:
    """Ids of the demo are constants, which stay."""
    return lambda match: match[0] if "0000-4000-8000" in match[0] else text


def picture(name: str, printed: str, columns: int = COLUMNS) -> str:
    """Draw what was printed as SVG."""
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    lines = screen_lines(printed)
    for line in lines:
        console.print(Text.from_ansi(line), soft_wrap=False)
    delays = "".join(
        f'.{name}-matrix text[clip-path="url(#{name}-line-{number})"] {{{{ animation-delay: {number * 0.15:.2f}s; }}}}\n'
        for number in range(len(lines) * 3)
    )
    return console.export_svg(
        title=f"agenthall {name}",
        code_format=_PICTURE.replace("DELAYS", delays).replace("TITLE", f"agenthall {name}"),
        unique_id=name,
    )


def recordings() -> Iterator[tuple[str, str]]:
    """Yield the name and the picture of each recording."""
    with tempfile.TemporaryDirectory(prefix="agenthall-") as folder:
        recorder = Recorder(Path(folder) / "data", port := free_ports())
        command = f"env AGENTHALL_LOG_LEVEL=warning {PROGRAM} serve --port {port} --data-dir {folder}/data"
        with Terminal.running(command, ROOT, COLUMNS) as terminal:
            yield "serve", picture("serve", recorder.serve(terminal))
            yield "chat", picture("chat", recorder.chat())
            yield "watch", picture("watch", recorder.watch(), WIDE)


def free_ports() -> int:
    """Return the first of some ports that are free."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < 60000:  # noqa: PLR2004 - the sockets process takes the next one
            return port


def text_of(drawn: str) -> list[str]:
    """Return the texts of a picture."""
    return [html.unescape(text) for text in re.findall(r"<text[^>]*>(.*?)</text>", drawn)]


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    for name, drawn in recordings():
        (IMAGES / f"{name}.svg").write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
