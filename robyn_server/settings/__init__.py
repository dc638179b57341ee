"""Every setting, its environment variable, its default and what it means.

`docs/reference/settings.md` is generated from here.
"""

from .environment import find_unknown, load_settings
from .graphs import GraphSource
from .processes.logs import LogFormat
from .security.identity import AuthMode
from .settings import Settings

__all__ = ["AuthMode", "GraphSource", "LogFormat", "Settings", "find_unknown", "load_settings"]
