-- Let searches of threads find words of their messages.
--
-- Rules
--   1. A run does not wait for the words. A worker reads them a few seconds after the state of a thread has changed.
--   2. The words of a thread are in a table of its own, since each update of a row writes all of them to the index
--      again, and the row of a thread is updated more than once in a run.
--   3. Words are indexed without a dictionary: no language is known. A text has at most 50,000 characters, its last
--      ones: a tsvector has at most 1 MB, and a word with hyphens is in it with its parts.

create function agenthall.searchable_text(p_values jsonb) returns text language sql immutable parallel safe as $$
  with state as (
    select case jsonb_typeof(p_values) when 'object' then p_values else '{}' end as members),
  messages as (
    select message.value -> 'content' as content, message.place
      from state
     cross join jsonb_array_elements(
       case jsonb_typeof(state.members -> 'messages') when 'array' then state.members -> 'messages' else '[]' end)
       with ordinality as message (value, place)),
  texts as (
    select member.value #>> '{}' as text, 0 as place, 0 as part
      from state, jsonb_each(state.members) as member where jsonb_typeof(member.value) = 'string'
    union all
    select m.content #>> '{}', m.place, 0 from messages m where jsonb_typeof(m.content) = 'string'
    union all
    select coalesce(part.value ->> 'text', case jsonb_typeof(part.value) when 'string' then part.value #>> '{}' end),
           m.place, part.place
      from messages m
     cross join jsonb_array_elements(case jsonb_typeof(m.content) when 'array' then m.content else '[]' end)
       with ordinality as part (value, place))
  select "right"(coalesce(string_agg(t.text, e'\n' order by t.place, t.part), ''), 50000) from texts t
$$;
comment on function agenthall.searchable_text is
  'Return the texts that a search finds in the values of a thread: those of its messages, and top-level '
  'strings.';

create function agenthall.text_query(p_text text) returns tsquery language sql immutable parallel safe as $$
  select string_agg(
           '''' || replace(replace(word.lexeme, '\', '\\'), '''', '''''') || ''''
           || case when word.is_last and length(word.lexeme) >= 3 then ':*' else '' end, ' & ')::tsquery
    from (select w.lexeme, max(w.positions[1]) over () = w.positions[1] as is_last
            from unnest(to_tsvector('simple', "left"(p_text, 1000))) as w) as word
$$;
comment on function agenthall.text_query is
  'Return the query for texts with all of these words. The last word may be the beginning of one, from three '
  'characters on. Null without a word.';

create table agenthall.thread_words (
  thread_id        uuid primary key references agenthall.threads on delete cascade,
  owner_id         text not null,
  state_updated_at timestamptz not null,
  words            tsvector not null
);
comment on table agenthall.thread_words is 'the words of threads, for searches; workers keep it up to date';
comment on column agenthall.thread_words.state_updated_at is 'that of the thread when its words were read';
create index thread_words_by_state_updated_at on agenthall.thread_words (state_updated_at, thread_id);
create index thread_words_words on agenthall.thread_words using gin (words, (array[owner_id]))
  with (gin_pending_list_limit = 64);

alter table agenthall.thread_words enable row level security;
alter table agenthall.thread_words force row level security;
grant select on agenthall.thread_words to agenthall_app;
grant select, insert, update, delete on agenthall.thread_words to agenthall_system;
create policy system_all on agenthall.thread_words to agenthall_system using (true) with check (true);
create policy all_of_own on agenthall.thread_words for select to agenthall_app
  using (exists (select from agenthall.threads t where t.thread_id = thread_words.thread_id));

-- Threads change in the order of state_updated_at. All before the last indexed one are indexed, except those whose
-- transaction was committed late: so the last p_settled are looked at again. No run waits long for a look: a look gives
-- up when a thread stays locked, and the next one reads the same threads.
create function agenthall.index_changed_threads(p_settled interval, p_limit integer) returns integer
language plpgsql set enable_seqscan = off set random_page_cost = 1.1 set lock_timeout = '200ms' as $$
declare
  v_settled timestamptz := clock_timestamp() - p_settled;
  v_last agenthall.thread_words;
  v_count integer;
begin
  if not pg_try_advisory_xact_lock(7168880, 5) then
    return 0;
  end if;
  select * into v_last from agenthall.thread_words x order by x.state_updated_at desc, x.thread_id desc limit 1;
  if v_last.state_updated_at > v_settled then
    v_last.state_updated_at := v_settled; v_last.thread_id := '00000000-0000-0000-0000-000000000000';
  end if;
  insert into agenthall.thread_words as x (thread_id, owner_id, state_updated_at, words)
  select t.thread_id, t.owner_id, t.state_updated_at,
         strip(to_tsvector('simple', agenthall.searchable_text(t."values")))
    from agenthall.threads t
   where t.thread_id in (
     select c.thread_id from agenthall.threads c
      where not c.ephemeral
        and (c.state_updated_at, c.thread_id)
            > (coalesce(v_last.state_updated_at, '-infinity'),
               coalesce(v_last.thread_id, '00000000-0000-0000-0000-000000000000'))
        and (select i.state_updated_at from agenthall.thread_words i where i.thread_id = c.thread_id)
            is distinct from c.state_updated_at
      order by c.state_updated_at, c.thread_id
      limit p_limit)
   order by t.thread_id
     for key share of t
  on conflict (thread_id) do update
    set state_updated_at = excluded.state_updated_at, words = excluded.words;
  get diagnostics v_count = row_count;
  return v_count;
exception when lock_not_available then
  return 0;
end $$;
comment on function agenthall.index_changed_threads is
  'Read the words of the next threads whose state has changed, at most p_limit, and return their number: 0 while '
  'another process does it, or one of the threads is locked. p_settled: a state that changed earlier is visible, '
  'unless its change was undone.';

-- The searches get one more filter. A server of the release before calls them without it.
--
-- No index has words and other filters, and no statistics tell which of them are rare. So up to p_most threads with the
-- words are looked up, then up to p_most threads that meet the others. If there are more of both, each thread with the
-- words is compared.
create function agenthall.matching_threads(
  p_metadata jsonb, p_values jsonb, p_status text, p_text text, p_most bigint, out clauses text, out ids uuid[]
) language plpgsql stable as $$
declare
  v_owner text := case when agenthall.current_grants() is null and not agenthall.current_is_admin()
                       then ' and %1$s.owner_id = $5 and array[%1$s.owner_id] @> array[$5]' else '' end;
  v_where text := concat(
    ' where not t.ephemeral',
    case when p_metadata is not null then ' and t.metadata @> $1' end,
    case when agenthall.indexed_values(p_values) <> '{}' then ' and agenthall.indexed_values(t."values") @> $2' end,
    case when p_values is not null then ' and t."values" @> $3' end,
    case when p_status is not null then ' and t.status = $4 and array[t.status] @> array[$4]' end,
    format(v_owner, 't'),
    case when agenthall.current_grants() is not null
         then agenthall.threads_granted(agenthall.current_grants() -> 'threads', '$6') end);
  v_source text;
begin
  if p_text is null then
    clauses := ' from agenthall.threads t' || v_where;
    return;
  end if;
  execute concat('select array(select x.thread_id from agenthall.thread_words x where x.words @@ $7',
                 format(v_owner, 'x'), ' limit $8)')
    into ids
    using null, null, null, null, agenthall.current_identity(), null, agenthall.text_query(p_text), p_most;
  if cardinality(ids) = p_most then
    execute concat('select array(select t.thread_id from agenthall.threads t', v_where, ' limit $7)')
      into ids
      using p_metadata, agenthall.indexed_values(p_values), p_values, p_status, agenthall.current_identity(),
        agenthall.current_grants() -> 'threads', p_most;
  end if;
  v_source := case when cardinality(ids) < p_most then 'unnest($8) as x (thread_id)'
                   else format('(select x.thread_id from agenthall.thread_words x where x.words @@ $7%s) x',
                               format(v_owner, 'x')) end;
  clauses := concat(
    ' from ', v_source,
    ' cross join lateral (select t.* from agenthall.threads t where t.thread_id = x.thread_id offset 0) t',
    v_where, ' and (select i.words @@ $7 from agenthall.thread_words i where i.thread_id = t.thread_id)');
end $$;
comment on function agenthall.matching_threads is
  'Return the FROM and WHERE of a statement that finds threads by an inverted index. A null is no filter. Its '
  'parameters are p_metadata, the indexed values, p_values, p_status, the identity, the conditions of the grants, the '
  'query and ids.';

drop function agenthall.find_matching_threads(jsonb, jsonb, text, bigint);
create function agenthall.find_matching_threads(
  p_metadata jsonb, p_values jsonb, p_status text, p_limit bigint, p_text text default null
) returns table (
  thread_id uuid, status text, created_at timestamptz, updated_at timestamptz, state_updated_at timestamptz
) language plpgsql security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set random_page_cost = 1.1 as $$
declare
  v_matching record := agenthall.matching_threads(p_metadata, p_values, p_status, p_text, least(p_limit, 20000));
begin
  return query execute concat(
    'select t.thread_id, t.status, t.created_at, t.updated_at, t.state_updated_at', v_matching.clauses, ' limit $9')
    using p_metadata, agenthall.indexed_values(p_values), p_values, p_status, agenthall.current_identity(),
      agenthall.current_grants() -> 'threads', agenthall.text_query(p_text), v_matching.ids, p_limit;
end $$;
comment on function agenthall.find_matching_threads is
  'Find up to p_limit threads of the principal that match, by an inverted index. A null is no filter.';

drop function agenthall.count_matching_threads(jsonb, jsonb, text);
create function agenthall.count_matching_threads(
  p_metadata jsonb, p_values jsonb, p_status text, p_text text default null
) returns bigint language plpgsql security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set random_page_cost = 1.1 as $$
declare
  v_matching record := agenthall.matching_threads(p_metadata, p_values, p_status, p_text, 20000);
  v_count bigint;
begin
  execute concat('select count(*)', v_matching.clauses)
    into v_count
    using p_metadata, agenthall.indexed_values(p_values), p_values, p_status, agenthall.current_identity(),
      agenthall.current_grants() -> 'threads', agenthall.text_query(p_text), v_matching.ids;
  return v_count;
end $$;
comment on function agenthall.count_matching_threads is
  'Count the threads of the principal that match. It reads as many index entries as it counts, if the filters are '
  'common.';

drop function agenthall.walk_granted_threads(text, boolean, jsonb, jsonb, text, bigint, bigint);
create function agenthall.walk_granted_threads(
  p_order text, p_descending boolean, p_metadata jsonb, p_values jsonb, p_status text, p_most bigint, p_last bigint,
  p_text text default null
) returns table (thread_id uuid, is_cut boolean) language plpgsql security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set random_page_cost = 1.1 as $$
declare
  v_direction text := case when p_descending then 'desc' else 'asc' end;
begin
  return query execute format(
    'select t.thread_id, t.place = $6
       from (select t.*, row_number() over () as place
               from (select t.* from agenthall.threads t where not t.ephemeral order by %1$s limit $6) t) t
      where agenthall.is_granted($5, t.metadata, t.owner_id) and ($1 is null or t.metadata @> $1)
        and ($2 is null or t."values" @> $2) and ($3 is null or t.status = $3) %2$s
         or t.place = $6
      limit $4',
    case when p_order = 'thread_id' then format('t.thread_id %s', v_direction)
         else format('t.%I %s, t.thread_id %s', p_order, v_direction, v_direction) end,
    case when p_text is not null
         then 'and (select x.words @@ $7 from agenthall.thread_words x where x.thread_id = t.thread_id)' end)
    using p_metadata, p_values, p_status, p_last, agenthall.current_grants() -> 'threads', p_most,
      agenthall.text_query(p_text);
end $$;
comment on function agenthall.walk_granted_threads is
  'Walk the index of an order, at most p_most threads far, and return the first p_last that are granted and match. '
  'is_cut: the thread is the last one of the walk, and matches or not.';

revoke execute on function agenthall.index_changed_threads, agenthall.matching_threads, agenthall.find_matching_threads,
  agenthall.count_matching_threads, agenthall.walk_granted_threads from public;
grant execute on function agenthall.index_changed_threads, agenthall.matching_threads to agenthall_system;
grant execute on function agenthall.find_matching_threads, agenthall.count_matching_threads,
  agenthall.walk_granted_threads to agenthall_app;
grant create on schema agenthall to agenthall_system;
alter function agenthall.find_matching_threads owner to agenthall_system;
alter function agenthall.count_matching_threads owner to agenthall_system;
alter function agenthall.walk_granted_threads owner to agenthall_system;
revoke create on schema agenthall from agenthall_system;
