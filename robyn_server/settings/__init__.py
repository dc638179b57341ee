"""Every setting, its environment variable, its default and what it means.

`docs/reference/settings.md` is generated from here.
"""

from .environment import find_unknown, load_settings
from .graphs import GraphSource, MiddlewareOrder
from .processes.logs import LogFormat
from .security.identity import AuthMode
from .settings import Settings

__all__ = ["AuthMode", "GraphSource", "LogFormat", "MiddlewareOrder", "Settings", "find_unknown", "load_settings"]
