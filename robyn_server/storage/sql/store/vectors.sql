-- The store's index by meaning. Runs as the owner of the schema.

-- name: use_pgvector
select agenthall.use_pgvector()
