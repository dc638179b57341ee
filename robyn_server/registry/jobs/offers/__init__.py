"""How instances learn of the jobs that they are offered: the queue is dispatched, and notices are read or polled."""
