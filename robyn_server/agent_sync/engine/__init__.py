"""Decisions and writes of agent sync: one agent, a page of agents, templates, retirement and write-backs."""
