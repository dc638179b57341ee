-- Storage for agent sync. Works as agenthall_system, and sees what the owner who asks may see, and what the server owns.
-- In the fragments `a` is the assistant that is there, `g` the given one, $1 the catalogue's keys of `configurable`.

-- fragment: same
-- All that catalogue_projection() in core names, by content: an edit by hand leaves the hash as it was. Of jsonb the text is
-- compared: its keys have one order, and 1.0 is not 1, as for the canonical hash.
(a.catalogue_hash is not null and a.agent_source = g.source and a.retired_at is null and a.graph_id = g.graph_id and a.name = g.name and a.description is not distinct from g.description
 and a.metadata ->> 'supabase_organization_id' is not distinct from g.metadata ->> 'supabase_organization_id'
 and a.config::text = ({config})::text)

-- fragment: config
-- The catalogue's keys replace their like; what members of the organisation added stays.
(a.config || (g.config - 'configurable')) || jsonb_build_object('configurable',
   (coalesce(a.config -> 'configurable', '{}') - $1::text[]) || coalesce(g.config -> 'configurable', '{}'))

-- fragment: context
(a.context - $1::text[]) || coalesce(g.config -> 'configurable', '{}')

-- fragment: metadata
(a.metadata - case when a.agent_source = g.source then '{supabase_organization_id}'
                   else '{supabase_agent_id,supabase_organization_id,agent_source,agent_id}' end::text[]) || g.metadata

-- fragment: ours
-- An agent of another source that is in service keeps its id.
(a.agent_source = g.source or (a.retired_at is not null and a.catalogue_hash is not null))

-- fragment: outdated
-- A later reading was applied. No reading is applied minutes after it was made: where the difference is more than that, the clock
-- was set back, and is believed.
coalesce(s.read_at > g.read_at and s.read_at < g.read_at + interval '5 minutes', false)

-- fragment: is_latest
-- Who does not say when it was read is believed.
(g.read_at is null or l.read_at = g.read_at)

-- fragment: claimed
-- The line of each agent is held until the transaction ends, so that readings of one agent are applied one after another, and says
-- which reading is the last.
insert into agenthall.agent_sync as s (agent_id, source, last_action, read_at)
select g.line, g.source, 'missing', g.read_at from given g order by g.line
on conflict (agent_id, source) do update
   set read_at = case when s.read_at > excluded.read_at and s.read_at < excluded.read_at + interval '5 minutes' then s.read_at
                      else coalesce(excluded.read_at, s.read_at) end
returning s.agent_id, s.read_at

-- fragment: retired
-- Every write raises the version: so whoever comes back is compared anew. `gone` is locked in the order of ids: two replicas never
-- wait for each other crosswise.
update agenthall.assistants a
   set retired_at = clock_timestamp(), version = {next_version}, updated_at = clock_timestamp()
  from gone
 where a.assistant_id = gone.assistant_id
returning coalesce(a.template_id, a.assistant_id) as agent_id

-- fragment: in_service
a.catalogue_hash is not null and a.retired_at is null

-- fragment: next_version
-- a.version may have been set back to an earlier one, or raised after this statement's snapshot was taken
greatest(a.version, (select max(v.version) from agenthall.assistant_versions v where v.assistant_id = a.assistant_id)) + 1

-- name: get
-- $1 assistant, $2 owner
select a.assistant_id::text, a.graph_id, a.name, a.description, a.config::text as config, a.context::text as context,
       a.metadata::text as metadata, a.version, a.owner_id, a.organization_id, a.visibility, a.retired_at, a.agent_source
  from agenthall.assistants a
 where a.assistant_id = $1 and a.owner_id in ('system', $2)

-- name: claim
-- $1 agent, $2 source, $3 when it was read. Whether that is the latest reading; it is noted as such.
with given as (
  select $1::uuid as line, $2::text as source, $3::timestamptz as read_at
), line as ({claimed})
select {is_latest} as is_latest from given g join line l on l.agent_id = g.line

-- name: insert
-- $11 template, $12 agent, $13 source. `is_latest`: of the readings of this agent; else no copy is written: whoever read later has
-- written all others. What is shared is written: whoever read later finds it, and makes it equal.
with given as (
  select $12::uuid as line, $13::text as source, ($6::jsonb ->> 'synced_at')::timestamptz as read_at
), line as ({claimed}), created as (
  insert into agenthall.assistants
    (assistant_id, graph_id, name, description, config, context, metadata, organization_id, catalogue_hash, owner_id, visibility,
     template_id, agent_source)
  select $1, $2, $3, $4, $5, coalesce($5::jsonb -> 'configurable', '{}'), $6, $7, $8, $9, $10, $11, g.source
    from given g
    join line l on l.agent_id = g.line and ($11::uuid is null or {is_latest})
  on conflict (assistant_id) do nothing
  returning assistant_id
)
select $11::uuid is null or {is_latest} as is_latest, exists (select from created) as is_written
  from given g join line l on l.agent_id = g.line

-- name: update
-- $11 agent, $12 source. `is_latest`: of the readings of this agent; else nothing is written.
with given as (
  select $2::uuid as agent_id, $3::text as graph_id, $4::text as name, $5::text as description, $6::jsonb as config,
         $7::jsonb as metadata, $8::uuid as organization_id, $9::text as hash, $11::uuid as line, $12::text as source,
         ($7::jsonb ->> 'synced_at')::timestamptz as read_at
), line as ({claimed}), updated as (
  update agenthall.assistants a
     set version = {next_version}, graph_id = g.graph_id, name = g.name, description = g.description, config = {config},
         context = {context}, metadata = {metadata}, organization_id = g.organization_id, catalogue_hash = g.hash,
         agent_source = g.source, retired_at = null, updated_at = clock_timestamp()
    from given g
    join line l on l.agent_id = g.line and {is_latest}
   where a.assistant_id = g.agent_id and a.owner_id in ('system', $10) and {ours} and not {same}
  returning a.assistant_id
)
select {is_latest} as is_latest, exists (select from updated) as is_written
  from given g join line l on l.agent_id = g.line

-- name: unchanged
-- $1 agents, $2 fingerprints, $3 owner, $4 source, $5 when they were read. Those that were equal when this fingerprint was last seen, and whose assistant is the one
-- of that time; they have been checked now. One that had been missing is compared anew. Locked in the order of ids: replicas never
-- wait for each other crosswise.
with unchanged as (
  select s.agent_id
    from unnest($1::uuid[], $2::bytea[]) as g (agent_id, fingerprint)
    join agenthall.agent_sync s on s.agent_id = g.agent_id and s.source = $4 and s.fingerprint = g.fingerprint
    join agenthall.assistants a on a.assistant_id = s.agent_id and a.version = s.assistant_version and a.agent_source = $4
   where s.last_action <> 'missing' and a.catalogue_hash is not null and a.owner_id in ('system', $3)
   order by s.agent_id
     for no key update of s
)
update agenthall.agent_sync s
   set checked_at = now(), last_action = 'skipped', failure = null, write_back_pending = false,
       read_at = case when {outdated} then s.read_at else coalesce(g.read_at, s.read_at) end
  from unchanged
 cross join (select $5::timestamptz as read_at) g
 where s.agent_id = unchanged.agent_id and s.source = $4
returning s.agent_id

-- name: apply
-- $2 the page as JSON, $3 owner, $4 visibility, $5 source. All of it, with its lines in the ledger, in one statement. An agent whose row
-- somebody holds at this moment, or has just made, or may not be seen, is not in the answer; one of which a later reading was
-- applied is skipped. Waits happen only in the order of ids: first for lines of the ledger, then for ids being inserted.
with given as materialized (
  -- json_to_recordset takes twice the time: it parses config and metadata once more
  select (g.item ->> 'agent_id')::uuid as agent_id, g.item ->> 'graph_id' as graph_id, g.item ->> 'name' as name,
         g.item ->> 'description' as description, g.item -> 'config' as config, g.item -> 'metadata' as metadata,
         (g.item ->> 'organization_id')::uuid as organization_id, g.item ->> 'hash' as hash,
         (g.item ->> 'fingerprint')::bytea as fingerprint, (g.item -> 'metadata' ->> 'synced_at')::timestamptz as read_at,
         $5::text as source
    from jsonb_array_elements($2::jsonb) as g (item)
), line as materialized (
  select s.agent_id, s.read_at
    from agenthall.agent_sync s
   where s.agent_id in (select g.agent_id from given g) and s.source = $5
   order by s.agent_id
     for no key update
), latest as materialized (
  select g.agent_id from given g left join line s on s.agent_id = g.agent_id where not {outdated}
), held as (
  select a.assistant_id, a.version, a.graph_id, a.name, a.description, a.config, a.context, a.metadata, a.catalogue_hash,
         a.retired_at, a.agent_source
    from agenthall.assistants a
   where a.assistant_id in (select g.agent_id from latest g) and a.owner_id in ('system', $3)
     and (a.agent_source = $5 or (a.retired_at is not null and a.catalogue_hash is not null))
   order by a.assistant_id
     for no key update skip locked
), merged as (
  select g.agent_id, g.graph_id, g.name, g.description, {config} as config, {context} as context, {metadata} as metadata,
         g.organization_id, g.hash, g.source, a.version, {same} as is_same
    from given g
    join held a on a.assistant_id = g.agent_id
), updated as (
  update agenthall.assistants a
     set version = {next_version}, graph_id = m.graph_id, name = m.name, description = m.description, config = m.config,
         context = m.context, metadata = m.metadata, organization_id = m.organization_id, catalogue_hash = m.hash,
         agent_source = m.source, retired_at = null, updated_at = clock_timestamp()
    from merged m
   where a.assistant_id = m.agent_id and not m.is_same
  returning a.assistant_id, a.version
), created as (
  insert into agenthall.assistants
    (assistant_id, graph_id, name, description, config, context, metadata, organization_id, catalogue_hash, owner_id, visibility,
     agent_source)
  select g.agent_id, g.graph_id, g.name, g.description, g.config, coalesce(g.config -> 'configurable', '{}'), g.metadata,
         g.organization_id, g.hash, $3, $4, g.source
    from given g
   where not exists (select from agenthall.assistants a where a.assistant_id = g.agent_id)
   order by g.agent_id
  on conflict (assistant_id) do nothing
  returning assistant_id, version
), done as (
  select c.assistant_id as agent_id, c.version, 'created' as action from created c
  union all
  select u.assistant_id, u.version, 'updated' from updated u
  union all
  select m.agent_id, m.version, 'skipped' from merged m where m.is_same
), noted as (
  insert into agenthall.agent_sync as s
    (agent_id, source, assistant_id, checked_at, last_action, failure, write_back_pending, fingerprint, assistant_version, read_at)
  select d.agent_id, g.source, d.agent_id, now(), d.action, null, false, g.fingerprint, d.version, g.read_at
    from done d
    join given g on g.agent_id = d.agent_id
   order by d.agent_id
  on conflict (agent_id, source) do update
     set assistant_id = excluded.assistant_id, checked_at = excluded.checked_at, last_action = excluded.last_action,
         failure = null, write_back_pending = false, fingerprint = excluded.fingerprint,
         assistant_version = excluded.assistant_version,
         read_at = case when s.read_at > excluded.read_at and s.read_at < excluded.read_at + interval '5 minutes' then s.read_at
                        else coalesce(excluded.read_at, s.read_at) end
)
select d.agent_id, d.action from done d
union all
select g.agent_id, 'skipped' from given g
 where g.agent_id not in (select latest.agent_id from latest)
   and exists (select from agenthall.assistants a where a.assistant_id = g.agent_id and a.agent_source = g.source)

-- name: clock
select clock_timestamp()

-- name: retire
-- $1 agents: the shared assistants, and every user's copy. $2 source, $3 when the agents were found gone: who was found there later
-- stays. Null: nobody says when.
with given as (
  select distinct coalesce(a.template_id, a.assistant_id) as line, $2::text as source, $3::timestamptz as read_at
    from agenthall.assistants a
   where (a.assistant_id = any ($1::uuid[]) or a.template_id = any ($1::uuid[])) and {in_service} and a.agent_source = $2
), line as ({claimed}), gone as (
  select a.assistant_id from agenthall.assistants a
   where (a.assistant_id = any ($1::uuid[]) or a.template_id = any ($1::uuid[])) and {in_service} and a.agent_source = $2
     and coalesce(a.template_id, a.assistant_id) in (
           select l.agent_id from line l where $3::timestamptz is null or l.read_at = $3)
   order by a.assistant_id
     for no key update
)
{retired}

-- name: retire_shared
-- $1 agents, $2 source
with gone as (
  select a.assistant_id from agenthall.assistants a
   where a.assistant_id = any ($1::uuid[]) and a.template_id is null and {in_service} and a.agent_source = $2
   order by a.assistant_id
     for no key update
)
{retired}

-- name: retire_copies
-- $1 agents, $2 source
with gone as (
  select a.assistant_id from agenthall.assistants a
   where a.template_id = any ($1::uuid[]) and {in_service} and a.agent_source = $2
   order by a.assistant_id
     for no key update
)
{retired}

-- name: retire_absent
-- Of the catalogue's shared assistants after $1 (null: from the first) up to $2 (null: to the last) those that are not among $3. One
-- that was written after $4 is newer than what $3 was read from, and stays. $5 source.
with gone as (
  select a.assistant_id from agenthall.assistants a
   where ($1::uuid is null or a.assistant_id > $1) and ($2::uuid is null or a.assistant_id <= $2)
     and a.template_id is null and a.agent_source = $5 and {in_service} and a.updated_at < $4 and not (a.assistant_id = any ($3::uuid[]))
   order by a.assistant_id
     for no key update
)
{retired}

-- name: retire_absent_copies
-- As retire_absent, of users' copies, by the ids of their agents.
with gone as (
  select a.assistant_id from agenthall.assistants a
   where ($1::uuid is null or a.template_id > $1) and ($2::uuid is null or a.template_id <= $2)
     and a.template_id is not null and a.agent_source = $5 and {in_service} and a.updated_at < $4 and not (a.template_id = any ($3::uuid[]))
   order by a.assistant_id
     for no key update
)
{retired}

-- name: copied_agents
-- $1 after this agent (null: from the first), $2 limit, $3 source. Agents that users have copies of, in service or not, and those whose last
-- look was a failure: it must not be told for ever.
select copied.agent_id
  from (select distinct a.template_id as agent_id from agenthall.assistants a
         where a.template_id is not null and a.agent_source = $3 and ($1::uuid is null or a.template_id > $1)
        union
        select s.agent_id from agenthall.agent_sync s where s.failure is not null and s.source = $3 and ($1::uuid is null or s.agent_id > $1)) copied
 order by copied.agent_id
 limit $2

-- name: update_copies
-- $1 the catalogue's keys, $2 agents as apply takes them, $3 source. Makes every user's copy of each equal to it, retired ones too, and writes
-- none that is equal already, or of which a later reading was applied; answers for the agents that have copies. Waits for whoever
-- holds one, in the order of ids.
with given as materialized (
  select g.agent_id, g.agent_id as line, g.graph_id, g.name, g.description, g.config, g.metadata, g.organization_id, g.hash,
         $3::text as source, (g.metadata ->> 'synced_at')::timestamptz as read_at
    from json_to_recordset($2::json)
         as g (agent_id uuid, graph_id text, name text, description text, config jsonb, metadata jsonb, organization_id uuid, hash text)
   where exists (select from agenthall.assistants a where a.template_id = g.agent_id and a.agent_source = $3)
), line as ({claimed}), latest as materialized (
  select g.agent_id from given g join line l on l.agent_id = g.line and {is_latest}
), held as (
  select a.assistant_id, a.template_id, a.graph_id, a.name, a.description, a.config, a.context, a.metadata, a.catalogue_hash,
         a.retired_at, a.agent_source
    from agenthall.assistants a
   where a.template_id in (select latest.agent_id from latest) and a.agent_source = $3
   order by a.assistant_id
     for no key update
), merged as (
  select a.assistant_id, a.template_id, g.graph_id, g.name, g.description, {config} as config, {context} as context,
         {metadata} as metadata, g.organization_id, g.hash, {same} as is_same
    from given g
    join held a on a.template_id = g.agent_id
), updated as (
  update agenthall.assistants a
     set version = {next_version}, graph_id = m.graph_id, name = m.name, description = m.description, config = m.config,
         context = m.context, metadata = m.metadata, organization_id = m.organization_id, catalogue_hash = m.hash,
         retired_at = null, updated_at = clock_timestamp()
    from merged m
   where a.assistant_id = m.assistant_id and not m.is_same
  returning a.assistant_id
)
select m.template_id as agent_id, count(*) as copies, count(u.assistant_id) as written
  from merged m
  left join updated u on u.assistant_id = m.assistant_id
 group by m.template_id
union all
select g.agent_id, 0, 0 from given g where g.agent_id not in (select latest.agent_id from latest)
