"""The guide to agent sync as a library: its program prints what the page says."""

from __future__ import annotations

import subprocess
import sys

from doc_pages import DOCS, blocks

PAGE = DOCS / "how-to" / "library.md"


def test_the_program_prints_what_the_page_says() -> None:
    (program,), (printed,) = blocks(PAGE, "python"), blocks(PAGE, "text")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == printed
    assert done.stderr == ""


def test_a_program_sees_its_logs_where_it_wants_them() -> None:
    (program,) = blocks(PAGE, "python")
    configured = f"import logging, sys\nlogging.basicConfig(level='INFO', format='%(name)s %(message)s')\n{program}"
    done = subprocess.run([sys.executable, "-c", configured], capture_output=True, text=True, check=True)
    assert done.stderr.count("robyn_server.agent_sync.engine.sync_log event='agent sync finished' scope='all'") == 2
