"""`serve` with the children of `program_child.py`. Arguments: data directory, port, folder of a demo."""

import sys
from pathlib import Path

from robyn_server.core.errors import Misconfigured
from robyn_server.supervisor.serve import ServeOptions, serve

child = (sys.executable, str(Path(__file__).with_name("program_child.py")))
data_dir, port, demo = sys.argv[1:]
try:
    sys.exit(
        serve(ServeOptions(data_dir=Path(data_dir), port=int(port), command=child, demo=Path(demo), log_format="json"))
    )
except Misconfigured as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(2)
