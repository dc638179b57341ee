-- Create workers: the graphs that living workers serve, so that a run that no worker can take says so.
create table agenthall.workers (
  worker_id uuid primary key,
  graph_ids text[] not null,
  until     timestamptz not null
);
comment on column agenthall.workers.until is 'a worker that has not renewed its row by then is dead';
grant select, insert, update, delete on agenthall.workers to agenthall_system;
grant select on agenthall.workers to agenthall_app;

create function agenthall.is_served(p_graph_id text) returns boolean language sql stable as $$
  select exists (select from agenthall.workers w where p_graph_id = any (w.graph_ids) and w.until > now())
$$;
comment on function agenthall.is_served is 'Return whether a living worker serves a graph.';

-- The five seconds cover the start of a worker.
create or replace function agenthall.run_json(r agenthall.runs) returns json language sql stable as $$
  select json_build_object(
    'run_id', r.run_id, 'thread_id', r.thread_id, 'assistant_id', r.assistant_id,
    'metadata', case
      when r.status = 'pending' and r.run_at < now() - interval '5 seconds' and not agenthall.is_served(r.graph_id)
      then r.metadata || jsonb_build_object(
        'agenthall_waiting', format('No running worker serves the graph %L.', r.graph_id))
      else r.metadata end,
    'status', r.status, 'kwargs', r.kwargs, 'multitask_strategy', r.multitask_strategy,
    'created_at', agenthall.iso(r.created_at), 'updated_at', agenthall.iso(r.updated_at),
    'langsmith_session_name', null)
$$;
