"""Commands as users type them: in a process, in a terminal, in a tutorial."""
