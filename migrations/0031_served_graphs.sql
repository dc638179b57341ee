-- Let web processes announce the graphs that they serve, as workers do, so that the default assistant of a graph is
-- retired when no living process serves it. Replicas may serve different graphs, as in a rolling deployment.
alter table agenthall.workers add column kind text not null default 'worker';
alter table agenthall.workers add constraint workers_kind check (kind in ('worker', 'web'));
comment on table agenthall.workers is 'living processes that serve graphs: workers, and web processes';
comment on column agenthall.workers.kind is
  'worker: executes runs of the graphs. web: answers for their assistants.';

create or replace function agenthall.is_served(p_graph_id text) returns boolean language sql stable as $$
  select exists (
    select from agenthall.workers w where p_graph_id = any (w.graph_ids) and w.until > now() and w.kind = 'worker')
$$;

create index assistants_default on agenthall.assistants (graph_id) where origin = 'graph';
comment on column agenthall.assistants.retired_at is
  'when the catalogue stopped offering the agent, or the last process that served the graph of a default assistant '
  'ended. The assistant is hidden and cannot run, but keeps its threads.';
