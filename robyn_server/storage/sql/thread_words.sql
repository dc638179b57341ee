-- The words of threads, for searches. Runs as agenthall_system, for the server's own processes.

-- name: index_changed
select agenthall.index_changed_threads(:settled, :limit)
