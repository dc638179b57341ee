"""`serve` with the children of `program_child.py`. Arguments: data directory, port, folder of a demo."""

import signal
import sys
from pathlib import Path

from robyn_server.core.errors import Misconfigured
from robyn_server.supervisor.serve import serve
from robyn_server.supervisor.serve_options import ServeOptions

child = (sys.executable, str(Path(__file__).with_name("program_child.py")))
data_dir, port, demo = sys.argv[1:]
for number in (signal.SIGHUP, signal.SIGINT):  # a suite in the background hands on that it ignores them
    signal.signal(number, signal.SIG_DFL)
try:
    sys.exit(
        serve(ServeOptions(data_dir=Path(data_dir), port=int(port), command=child, demo=Path(demo), log_format="json"))
    )
except Misconfigured as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(2)
