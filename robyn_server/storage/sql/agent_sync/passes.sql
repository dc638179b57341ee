-- The table agent_sync_passes: the latest passes of each scope. Runs as agenthall_system.

-- name: record
-- Keeps the latest :kept_passes of this scope and the :kept_scopes scopes synced last, this pass included.
with recorded as (
  insert into agenthall.agent_sync_passes (scope, replica, started_at, seconds, counters, failure)
  values (:scope, :replica, :started_at, :seconds, :counters::json, :failure)
), scopes as (
  select p.scope from agenthall.agent_sync_passes p
   where p.scope <> :scope
   group by p.scope
   order by max(p.pass_id) desc limit :kept_scopes::int - 1
), kept as (
  select p.pass_id from agenthall.agent_sync_passes p
   where p.scope = :scope
   order by p.pass_id desc limit :kept_passes::int - 1
)
delete from agenthall.agent_sync_passes old
 where (old.scope = :scope and old.pass_id not in (select kept.pass_id from kept))
    or (old.scope <> :scope and old.scope not in (select scopes.scope from scopes))

-- name: latest
-- The scope of the latest pass comes first, and within a scope its latest pass.
select p.scope, p.replica, p.started_at, p.finished_at, p.seconds, p.counters::text as counters, p.failure
  from (select each.scope, each.replica, each.started_at, each.finished_at, each.seconds, each.counters, each.failure,
               each.pass_id,
               row_number() over (partition by each.scope order by each.pass_id desc) as place,
               max(each.pass_id) over (partition by each.scope) as latest
          from agenthall.agent_sync_passes each) p
 where p.place <= :of_each_scope
 order by p.latest desc, p.pass_id desc
