-- Records of one run, whose right to be read was checked (run_search.sql, find). Runs as agenthall_system.

-- name: count_events
-- Of each attempt. At most 100,000 events are read.
select e.attempt, count(*) as events, sum(octet_length(e.data))::bigint as bytes, max(e.created_at) as last_at,
       bool_or(e.event = '__end__') as is_closed
  from (select e.attempt, e.event, e.data, e.created_at from agenthall.run_events e
         where e.run_id = :run_id order by e.seq limit 100000) e
 group by e.attempt
 order by e.attempt

-- name: list_steps
-- Checkpoints of the run. Ids are in the order of time, so :lowest and :highest keep other runs of the thread from being
-- read.
select c.checkpoint_id, c.parent_checkpoint_id, (c.checkpoint ->> 'ts')::timestamptz as at,
       (c.metadata ->> 'step')::integer as step, coalesce((c.metadata ->> 'run_attempt')::integer, 1) as attempt
  from langgraph.checkpoints c
 where c.thread_id = :thread_id and c.checkpoint_ns = ''
   and c.checkpoint_id >= :lowest and c.checkpoint_id <= :highest and c.metadata ->> 'run_id' = :run_id
 order by c.checkpoint_id
 limit 500

-- name: list_writes
-- Writes of the tasks that began from these checkpoints. Values have 4 MB at most in all.
select w.checkpoint_id, w.task_id, w.task_path, w.channel, w.type,
       case when w.is_wanted and w.bytes <= 4194304 then w.blob end as blob
  from (select w.*, w.channel in ('messages', '__pregel_tasks') as is_wanted,
               sum(case when w.channel in ('messages', '__pregel_tasks') then octet_length(w.blob) else 0 end)
                 over (order by w.checkpoint_id, w.task_path, w.task_id, w.idx) as bytes
          from langgraph.checkpoint_writes w
         where w.thread_id = :thread_id and w.checkpoint_ns = '' and w.checkpoint_id = any (:checkpoint_ids)) w
 order by w.checkpoint_id, w.task_path, w.task_id, w.idx
 limit 5000

-- name: list_jobs
select j.id, j.agent_id, j.state, j.attempt, j.registration_id, j.instance_id, j.created_at, j.accepted_at, j.ended_at
  from mcp.agent_jobs j
 where j.run_id = :run_id
 order by j.created_at, j.id
 limit 100
