-- name: acting_as
select agenthall.act_as(:identity, :organizations, :is_admin, :grants), agenthall.set_actor(:identity, :request_id)
