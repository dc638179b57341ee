-- The encrypted tokens of callers, one for each run that needs it. Runs as agenthall_system.

-- name: find
select c.sealed from agenthall.run_credentials c where c.run_id = :run_id
