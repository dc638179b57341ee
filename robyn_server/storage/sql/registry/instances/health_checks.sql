-- Checks of instances over HTTP. Runs as agenthall_system.

-- name: claim
select c.registration_id, c.url from mcp.claim_checks(:most, :every) c

-- name: record
select mcp.record_checks(:registration_ids, :urls, :errors, :every)
