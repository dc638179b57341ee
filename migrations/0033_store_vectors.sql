-- Create store_vectors: the index of the store by meaning, one vector for each text of an item.
create table agenthall.store_vectors (
  owner_id text not null,
  path     text collate "C" not null,
  key      text not null,
  field    text not null,
  vector   real[] not null,
  constraint store_vectors_pkey primary key (owner_id, path, key, field),
  constraint store_vectors_item
    foreign key (owner_id, path, key) references agenthall.store_items on delete cascade
);
comment on table agenthall.store_vectors is 'vectors of texts in items of the store, for search by meaning';
comment on column agenthall.store_vectors.field is
  'path of the text in the value, and its number if there are several';
alter table agenthall.store_vectors alter column vector set storage external;

alter table agenthall.store_vectors enable row level security;
alter table agenthall.store_vectors force row level security;
grant select, insert, update, delete on agenthall.store_vectors to agenthall_app, agenthall_system;
create policy system_all on agenthall.store_vectors to agenthall_system using (true) with check (true);
create policy all_own on agenthall.store_vectors to agenthall_app
  using (owner_id = (select agenthall.current_identity()))
  with check (owner_id = (select agenthall.current_identity()));

create function agenthall.cosine_distance(p_left real[], p_right real[]) returns double precision
language sql immutable parallel safe as $$
  select 1 - sum(l::double precision * r) / sqrt(nullif(sum(l::double precision * l) * sum(r::double precision * r), 0))
    from unnest(p_left, p_right) as both_vectors (l, r)
$$;
comment on function agenthall.cosine_distance is
  'Return the distance of two vectors, from 0 to 2. The server replaces the body where there is pgvector.';
grant execute on function agenthall.cosine_distance to agenthall_app, agenthall_system;

create function agenthall.use_pgvector() returns boolean language plpgsql as $$
declare
  v_schema name;
  v_body   text;
begin
  perform pg_advisory_xact_lock(hashtextextended('agenthall.use_pgvector', 0));
  begin
    create extension if not exists vector;
  exception when insufficient_privilege or undefined_file or feature_not_supported then
    null;
  end;
  select n.nspname into v_schema
    from pg_extension e
    join pg_namespace n on n.oid = e.extnamespace
   where e.extname = 'vector';
  if v_schema is null then
    return false;
  end if;
  -- pgvector has no distance from a vector of zeros
  v_body := format(
    'select nullif(p_left::%1$I.vector operator(%1$I.<=>) p_right::%1$I.vector, ''NaN'')', v_schema);
  if not exists (
       select from pg_proc p
        where p.oid = 'agenthall.cosine_distance(real[], real[])'::regprocedure and p.prosrc = v_body)
  then
    execute format(
      'create or replace function agenthall.cosine_distance(p_left real[], p_right real[]) returns double precision '
      'language sql immutable parallel safe as %L', v_body);
  end if;
  return true;
end $$;
comment on function agenthall.use_pgvector is
  'Create the extension vector if that is allowed, and compute distances with it. Return whether it is there.';
revoke execute on function agenthall.use_pgvector from public;
