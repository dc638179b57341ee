"""A child of the supervisor. Its last argument is its kind. It appends its events to the file CHRONICLE.

Variables such as WEB_DOES set the behaviour: `crash` exits at once with 3, `misconfigured` with 2, `stubborn` ignores
SIGTERM. The kind `web` answers searches for assistants on AGENTHALL_PORT.
"""

import json
import os
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NoReturn

from robyn_server.supervisor.readiness import announce_ready

KIND = sys.argv[-1]
RECORDED_VARIABLES = ("AGENT_SYNC_SCOPE", "AGENTHALL_PORT", "AGENTHALL_DEFAULT_MODEL", "AGENTHALL_KEEPER_ID")
BEHAVIOUR = os.environ.get(f"{KIND.upper()}_DOES", "")


def record_event(event: str) -> None:
    line = {"kind": KIND, "event": event, "pid": os.getpid(), "dsn": os.environ.get("DATABASE_URL"), "argv": sys.argv}
    line |= {name: os.environ.get(name) for name in RECORDED_VARIABLES}
    with Path(os.environ["CHRONICLE"]).open("a") as file:
        file.write(json.dumps(line) + "\n")


class Search(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        agent = {"assistant_id": "the-agent", "name": "Contracts", "metadata": {"supabase_agent_id": "1"}}
        body = json.dumps([agent, {"assistant_id": "default", "name": "agent", "metadata": {}}]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class SharedPort(ThreadingHTTPServer):
    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()


def exit_on_signal(*_: object) -> NoReturn:
    record_event("stopped")
    os._exit(0)


if KIND == "check":  # the check of the settings is not tested here
    sys.exit(0)
record_event("started")
if BEHAVIOUR in {"crash", "misconfigured"}:
    sys.exit({"crash": 3, "misconfigured": 2}[BEHAVIOUR])
signal.signal(signal.SIGTERM, signal.SIG_IGN if BEHAVIOUR == "stubborn" else exit_on_signal)
if KIND == "web":
    server = SharedPort(("127.0.0.1", int(os.environ["AGENTHALL_PORT"])), Search)
    threading.Thread(target=server.serve_forever, daemon=True).start()
announce_ready()
record_event("ready")
while True:
    signal.pause()
