-- Fragments for agent sync. Runs as agenthall_system.
-- `a` is the stored assistant and `g` the payload. `s` and `l` are the ledger row of the agent, before and after this
-- statement has claimed it. :catalogue_keys are the keys of `configurable` that the catalogue owns.

-- fragment: same
-- Compares the fields of core.catalogue.catalogue_projection() by content: an edit by hand does not change the hash.
-- Compares jsonb as text. Its keys have one order there, and 1.0 differs from 1, as in the canonical hash.
(a.retired_at is null and a.graph_id = g.graph_id
 and a.name = g.name and a.description is not distinct from g.description
 and a.metadata ->> 'supabase_organization_id' is not distinct from g.metadata ->> 'supabase_organization_id'
 and a.config::text = ({config})::text)

-- fragment: same_organization
-- What members of an organization added does not follow an agent, or its id, to another organization.
(a.organization_id is not distinct from g.organization_id)

-- fragment: members_config
case when {same_organization} then a.config else '{}' end

-- fragment: config
-- Replaces the catalogue's keys and keeps those that members of the organization added.
({members_config} || (g.config - 'configurable')) || jsonb_build_object('configurable',
   (coalesce({members_config} -> 'configurable', '{}') - :catalogue_keys::text[]) || coalesce(g.config -> 'configurable', '{}'))

-- fragment: context
(case when {same_organization} then a.context else '{}' end - :catalogue_keys::text[]) || coalesce(g.config -> 'configurable', '{}')

-- fragment: metadata
(case when {same_organization} then a.metadata - 'supabase_organization_id' else '{}' end) || g.metadata

-- fragment: outdated
-- Whether a later read has been applied. A read is applied within a minute of its time, so a greater difference means
-- that the clock was set back. Until it has caught up, edits of an agent are skipped for a minute at most.
coalesce(s.read_at > g.read_at and s.read_at < g.read_at + interval '1 minute', false)

-- fragment: later_read_at
-- As `outdated`, in an upsert of the ledger.
case when s.read_at > excluded.read_at and s.read_at < excluded.read_at + interval '1 minute' then s.read_at
     else coalesce(excluded.read_at, s.read_at) end

-- fragment: claimed
-- Locks the ledger row of each agent until the transaction ends, so that reads of one agent are applied one by one.
-- Returns the time of the latest read.
insert into agenthall.agent_sync as s (agent_id, source, last_action, read_at)
select g.ledger_id, g.source, 'missing', g.read_at from given g order by g.ledger_id
on conflict (agent_id, source) do update set read_at = {later_read_at}
returning s.agent_id, s.read_at

-- fragment: is_latest
-- A payload without a read time counts as the latest.
(g.read_at is null or l.read_at = g.read_at)

-- fragment: next_version
-- a.version may have been set back to an earlier version, or raised after this statement took its snapshot.
greatest(a.version, (
  select max(v.version) from agenthall.assistant_versions v where v.assistant_id = a.assistant_id)) + 1
