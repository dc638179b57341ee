"""Rules of the queue of runs: turns, and limits of what waits and runs."""
