"""Stand-in for an MCP server of the demo. Listens on `--port` and logs its start and end to standard output."""

import os
import signal
import socket
import sys


def exit_on_signal(*_: object) -> None:
    os.write(1, b"stopped\n")
    os._exit(0)


signal.signal(signal.SIGTERM, exit_on_signal)
os.write(
    1, f"started, url given: {'DATABASE_URL' in os.environ}\n".encode()
)  # before it listens: then it counts as ready
listening = socket.create_server(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])))
while True:
    listening.accept()[0].close()
