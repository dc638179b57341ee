"""An agent that writes letters, and asks before it sends them."""
