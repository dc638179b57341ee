"""The longest time that a test waits for a condition.

The deadline ends a test that hangs and measures nothing. It is generous: with a load of 20 on two cores, a server of
several processes takes half a minute to start. `timeout` in pyproject.toml is longer, because a test waits for several
conditions.
"""

DEADLINE = 120.0
"""Seconds."""
