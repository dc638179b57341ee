"""The built-in graph `instances`: it gives the runs of an agent to instances that dialled in, and follows them."""
