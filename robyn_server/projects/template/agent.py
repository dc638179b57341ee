"""An agent with one tool. `agenthall dev` serves it, and loads it again when you save this file."""

import os
from datetime import datetime
from zoneinfo import ZoneInfo

from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel


def current_time(timezone: str = "UTC") -> str:
    """Return the time in a time zone, such as `Europe/Paris`."""
    return datetime.now(ZoneInfo(timezone)).strftime("%H:%M on %A, %d %B %Y")


def load_model() -> BaseChatModel:
    """Load the model that `MODEL` names. Without one, answer offline, with no key."""
    if name := os.environ.get("MODEL"):
        return init_chat_model(name)
    from tools_agent.models.offline import offline_model

    return offline_model("offline:demo")


graph = create_agent(load_model(), [current_time], system_prompt="You are helpful and brief.")
