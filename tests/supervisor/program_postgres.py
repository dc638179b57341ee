"""Run an embedded PostgreSQL until the standard input ends. Argument: the data directory. Prints facts as JSON."""

import json
import sys
from pathlib import Path

from robyn_server.supervisor.postgres.server import EmbeddedPostgres

database = EmbeddedPostgres(Path(sys.argv[1]))
dsn = database.start()
sys.stdout.write(json.dumps({"dsn": dsn, "pid": database.pid, "account": database.account.name}) + "\n")
sys.stdout.flush()
sys.stdin.read()
database.stop()
