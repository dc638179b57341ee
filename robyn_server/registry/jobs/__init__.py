"""Jobs: work for instances that dialled in. Callers start and follow them; the sweeper applies what is due."""
