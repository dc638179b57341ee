-- Let tenants and owners take turns when more runs wait than a worker has room for, and limit what may wait.
--
-- Rules
--   1. A tenant is an organization. A run without one belongs to a tenant that consists of its owner. Keys of tenants
--      and owners are hashes. Two that share a key share their turns, which harms nobody.
--   2. A claim that takes all runs that wait needs no order. Only a worker whose last claim may have left runs behind
--      asks for turns (p_turns), and gets them if several owners wait: each tenant has one run, or as many as its
--      weight says, before the next one. Within a tenant, owners take turns. The runs of an owner are claimed in the
--      order of run_at.
--   3. The order of turns is that of the keys. A worker remembers the tenant and the owners that it served last, and
--      names them in its next claim. So a claim writes nothing but its runs, and claims never wait for each other. A
--      worker that remembers nothing begins anywhere.
--   4. Each step of a claim reads one entry of an index: that of the next tenant, or of the next owner in it.
--   5. A run that was enqueued for later has no turn until a claim finds it due (is_called). Otherwise a claim would
--      read the runs of all owners that have scheduled one. Workers look for them once a second (p_calls).
--   6. A run that has lost two workers has no turn. Migration 0059 counts them, and executes such a run alone.
--   7. Limits of pending runs are checked after a run was enqueued, in the same transaction. A failure undoes the run.
--      Counting reads as many entries of an index as the limit has, at most.

create function agenthall.tenant_key(p_organization_id uuid, p_owner_id text) returns bigint
language sql immutable parallel safe as $$
  select coalesce(uuid_hash_extended(p_organization_id, 0), hashtextextended(p_owner_id, 0)) & 9223372036854775807
$$;
comment on function agenthall.tenant_key is
  'Return the place of a tenant in the order of turns: of its organization, or of its owner without one.';

create function agenthall.owner_key(p_owner_id text) returns bigint language sql immutable parallel safe as
$$ select hashtextextended(p_owner_id, 1) & 9223372036854775807 $$;
comment on function agenthall.owner_key is 'Return the place of an owner in the order of turns of its tenant.';

create function agenthall.queue_number(p_graph_id text) returns integer language sql immutable parallel safe as
$$ select (p_graph_id = 'instances')::integer $$;
comment on function agenthall.queue_number is
  'Return in which queue runs of a graph wait: 0 for the slots of workers, 1 for instances, which take no slot.';

create function agenthall.is_scheduled(p_is_called boolean, p_run_at timestamptz, p_created_at timestamptz)
returns boolean language sql immutable parallel safe as
$$ select not p_is_called and p_run_at - p_created_at > interval '2 seconds' $$;
comment on function agenthall.is_scheduled is 'Return whether a run was enqueued for later, and no claim found it due.';

create function agenthall.has_turn(
  p_workers_lost smallint, p_is_called boolean, p_run_at timestamptz, p_created_at timestamptz
) returns boolean language sql immutable parallel safe as
$$ select p_workers_lost < 2 and not (not p_is_called and p_run_at - p_created_at > interval '2 seconds') $$;
comment on function agenthall.has_turn is
  'Return whether a run that is ready takes turns: it is not scheduled, and did not lose two workers.';

alter table agenthall.runs
  add column is_called boolean not null default false,
  add column workers_lost smallint not null default 0;
comment on column agenthall.runs.workers_lost is 'workers that ended while they executed the run';
comment on column agenthall.runs.is_called is 'the run was scheduled, and a claim has found that it is due';

create index runs_in_turn on agenthall.runs (
  agenthall.queue_number(graph_id), agenthall.tenant_key(organization_id, owner_id), agenthall.owner_key(owner_id),
  run_at, run_id)
  where status = 'pending' and ready and agenthall.has_turn(workers_lost, is_called, run_at, created_at);
create index runs_to_call on agenthall.runs (run_at)
  where status = 'pending' and ready and agenthall.is_scheduled(is_called, run_at, created_at);
drop index agenthall.runs_claimable_here, agenthall.runs_claimable_by_instances;
-- The organization is for has_room(), which reads the entries of all running runs.
create index runs_held on agenthall.runs (lease_until, organization_id) where status = 'running';
drop index agenthall.runs_leases;

-- Claims --------------------------------------------------------------------------------------------------------------

create function agenthall.call_due_runs() returns void language plpgsql as $$
declare
  v_now timestamptz := clock_timestamp(); -- a call in the condition would read all later runs
begin
  if exists (
    select from agenthall.runs r
     where r.status = 'pending' and r.ready and agenthall.is_scheduled(r.is_called, r.run_at, r.created_at)
       and r.run_at <= v_now) then
    update agenthall.runs r set is_called = true
     where r.run_id = any (array(
       select r.run_id from agenthall.runs r
        where r.status = 'pending' and r.ready and agenthall.is_scheduled(r.is_called, r.run_at, r.created_at)
          and r.run_at <= v_now
        order by r.run_at limit 1000 for update skip locked));
  end if;
end $$;
comment on function agenthall.call_due_runs is 'Give scheduled runs that are due now their turns.';

create function agenthall.has_room(p_organization_id uuid, p_owner_id text, p_most integer) returns boolean
language plpgsql as $$
begin
  if p_most is null or p_organization_id is null and p_owner_id is null then
    return true;
  elsif p_owner_id is null then
    return p_most > (select count(*) from (
      select from agenthall.runs r
       where r.status = 'running' and r.lease_until > '-infinity' and r.organization_id = p_organization_id
       limit p_most) as found);
  end if;
  return p_most > (select count(*) from (
    select from agenthall.runs r
     where r.owner_id = p_owner_id and r.status = 'running' and r.status in ('pending', 'running')
     limit p_most) as found);
end $$;
comment on function agenthall.has_room is
  'Return whether an organization, or an owner, has fewer than p_most running runs. Without a limit it has.';

create function agenthall.lock_next_of_tenant(
  p_queue integer, p_tenant bigint, p_after bigint, p_graphs text[], p_running_of_owner integer, p_locked uuid[],
  out run_id uuid, out owner bigint
) language plpgsql as $$
declare
  v_owner_id text;
  v_is_round boolean := false;
begin
  owner := p_after;
  loop
    if p_running_of_owner is not null then -- pass the owners that have no room
      select r.owner_id into v_owner_id from agenthall.runs r
       where r.status = 'pending' and r.ready
         and agenthall.has_turn(r.workers_lost, r.is_called, r.run_at, r.created_at)
         and agenthall.queue_number(r.graph_id) = p_queue
         and agenthall.tenant_key(r.organization_id, r.owner_id) = p_tenant and agenthall.owner_key(r.owner_id) > owner
       order by agenthall.queue_number(r.graph_id), agenthall.tenant_key(r.organization_id, r.owner_id),
                agenthall.owner_key(r.owner_id), r.run_at, r.run_id limit 1;
      if found and not agenthall.has_room(null, v_owner_id, p_running_of_owner) then
        owner := agenthall.owner_key(v_owner_id);
        exit when v_is_round and owner > p_after;
        continue;
      elsif found then
        owner := agenthall.owner_key(v_owner_id) - 1;
      end if;
    end if;
    select r.run_id, agenthall.owner_key(r.owner_id) into lock_next_of_tenant.run_id, owner from agenthall.runs r
     where r.status = 'pending' and r.ready
       and agenthall.has_turn(r.workers_lost, r.is_called, r.run_at, r.created_at)
       and agenthall.queue_number(r.graph_id) = p_queue and r.graph_id = any (p_graphs)
       and agenthall.tenant_key(r.organization_id, r.owner_id) = p_tenant and agenthall.owner_key(r.owner_id) > owner
       and r.run_at <= clock_timestamp() and r.run_id <> all (p_locked)
     order by agenthall.queue_number(r.graph_id), agenthall.tenant_key(r.organization_id, r.owner_id),
              agenthall.owner_key(r.owner_id), r.run_at, r.run_id limit 1 for update skip locked;
    exit when found or v_is_round;
    v_is_round := true; owner := -1;
  end loop;
end $$;
comment on function agenthall.lock_next_of_tenant is
  'Lock the first run of the next owner of a tenant, in the order after p_after. run_id is null if there is none but '
  'those in p_locked.';

create function agenthall.claim_these(p_runs uuid[], p_worker uuid, p_lease interval) returns uuid[]
language plpgsql as $$
declare
  v_locked uuid[] := array(
    select r.run_id from agenthall.runs r
     where r.run_id = any (p_runs) and r.status = 'pending' and r.ready for update skip locked);
begin
  update agenthall.runs r
     set status = 'running', attempt = r.attempt + 1, worker_id = p_worker,
         lease_until = clock_timestamp() + p_lease, updated_at = clock_timestamp()
   where r.run_id = any (v_locked);
  return v_locked;
end $$;
comment on function agenthall.claim_these is 'Claim those of these runs that still wait, and that nobody has locked.';

-- The planner may expect few rows and read or sort all of them, so this function only scans indexes in their order.
-- Row-level security keeps it from knowing that the tenant is constant, so queries order by the tenant, too.
create function agenthall.claim_in_turn(
  p_queue integer, p_worker uuid, p_slots integer, p_lease interval, p_graphs text[], p_turns bigint[],
  p_running_of_owner integer, p_running_of_organization integer, p_weights jsonb)
returns uuid[] language plpgsql set enable_sort = off set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_is_limited boolean := p_running_of_owner is not null or p_running_of_organization is not null;
  v_turns bigint[] := p_turns;
  v_tenant bigint := coalesce(v_turns[1], (random() * 9e18)::bigint);
  v_used integer := coalesce(v_turns[2], 0);
  v_last bigint := v_tenant; -- a round that ends here without a run is the last one
  v_is_round boolean := false;
  v_organization uuid;
  v_owner text;
  v_next bigint;
  v_at integer;
  v_run uuid;
  v_served bigint;
  v_runs uuid[];
begin
  if not v_is_limited then
    v_runs := array(
      select r.run_id from agenthall.runs r
       where r.status = 'pending' and r.ready
         and agenthall.has_turn(r.workers_lost, r.is_called, r.run_at, r.created_at)
         and agenthall.queue_number(r.graph_id) = p_queue and r.graph_id = any (p_graphs)
         and r.run_at <= clock_timestamp()
       order by agenthall.queue_number(r.graph_id), agenthall.tenant_key(r.organization_id, r.owner_id),
                agenthall.owner_key(r.owner_id), r.run_at, r.run_id limit p_slots + 1);
    if cardinality(v_runs) <= p_slots then
      return agenthall.claim_these(v_runs, p_worker, p_lease);
    end if;
  end if;
  v_runs := '{}';
  while cardinality(v_runs) < p_slots loop
    select r.organization_id, r.owner_id into v_organization, v_owner from agenthall.runs r
     where r.status = 'pending' and r.ready
       and agenthall.has_turn(r.workers_lost, r.is_called, r.run_at, r.created_at)
       and agenthall.queue_number(r.graph_id) = p_queue
       and agenthall.tenant_key(r.organization_id, r.owner_id) > v_tenant - (v_used > 0)::integer
     order by agenthall.queue_number(r.graph_id), agenthall.tenant_key(r.organization_id, r.owner_id),
              agenthall.owner_key(r.owner_id), r.run_at, r.run_id limit 1;
    if not found then
      exit when v_is_round;
      v_is_round := true; v_tenant := -1; v_used := 0;
      continue;
    end if;
    v_next := agenthall.tenant_key(v_organization, v_owner);
    exit when v_is_round and v_next > v_last;
    v_used := case when v_next = v_tenant then v_used else 0 end;
    v_tenant := v_next;
    v_run := null;
    if agenthall.has_room(v_organization, null, p_running_of_organization) then
      v_at := array_position(v_turns, v_tenant, 3);
      select c.run_id, c.owner into v_run, v_served
        from agenthall.lock_next_of_tenant(
          p_queue, v_tenant, coalesce(v_turns[v_at + 1], (random() * 9e18)::bigint), p_graphs,
          p_running_of_owner, v_runs) c;
    end if;
    if v_run is null then
      v_used := 0;
      continue;
    end if;
    if v_is_limited then -- the next look for room sees it
      perform agenthall.claim_these(array[v_run], p_worker, p_lease);
    end if;
    v_runs := v_runs || v_run;
    v_last := v_tenant; v_is_round := false;
    v_used := v_used + 1;
    if v_used >= coalesce((p_weights ->> v_organization::text)::integer, 1) then
      v_used := 0;
    end if;
    if v_at is null then
      v_turns := array[coalesce(v_turns[1], 0), 0] || v_turns[3:] || array[v_tenant, v_served];
    else
      v_turns[v_at + 1] := v_served;
    end if;
  end loop;
  if not v_is_limited then
    perform agenthall.claim_these(v_runs, p_worker, p_lease);
  end if;
  return v_runs;
end $$;
comment on function agenthall.claim_in_turn is
  'Claim at most p_slots runs of one kind: of each tenant in turn one, or as many as p_weights has for it, and of each '
  'owner of the tenant in turn. p_turns: the tenant that was served last, how many runs of its turn it has had, and '
  'then pairs of a tenant and the owner of it that was served last.';

drop function agenthall.claim_runs(uuid, integer, interval, text[], integer);

create function agenthall.have_several_owners(p_queue integer) returns boolean language plpgsql stable as $$
begin
  return (
    select (first.organization_id, first.owner_id) is distinct from (last.organization_id, last.owner_id)
      from (select r.organization_id, r.owner_id from agenthall.runs r
             where r.status = 'pending' and r.ready
               and agenthall.has_turn(r.workers_lost, r.is_called, r.run_at, r.created_at)
               and agenthall.queue_number(r.graph_id) = p_queue
             order by agenthall.queue_number(r.graph_id), agenthall.tenant_key(r.organization_id, r.owner_id),
                      agenthall.owner_key(r.owner_id), r.run_at, r.run_id limit 1) as first,
           (select r.organization_id, r.owner_id from agenthall.runs r
             where r.status = 'pending' and r.ready
               and agenthall.has_turn(r.workers_lost, r.is_called, r.run_at, r.created_at)
               and agenthall.queue_number(r.graph_id) = p_queue
             order by agenthall.queue_number(r.graph_id) desc,
                      agenthall.tenant_key(r.organization_id, r.owner_id) desc,
                      agenthall.owner_key(r.owner_id) desc, r.run_at desc, r.run_id desc limit 1) as last);
end $$;
comment on function agenthall.have_several_owners is
  'Return whether the first and the last run of a queue, in the order of turns, belong to different owners.';

-- The defaults are for workers of older versions. Without p_instance_runs, both kinds share p_slots.
create function agenthall.claim_runs(
  p_worker uuid, p_slots integer, p_lease interval, p_graphs text[], p_instance_runs integer default null,
  p_turns bigint[] default '{}', p_instance_turns bigint[] default '{}', p_calls boolean default true,
  p_running_of_owner integer default null, p_running_of_organization integer default null, p_weights jsonb default null)
returns setof agenthall.runs language plpgsql as $$
declare
  v_is_limited boolean := p_running_of_owner is not null or p_running_of_organization is not null;
  v_room integer := p_slots;
  v_takes_turns boolean := false;
  v_next uuid[] := '{}';
  v_claimed uuid[] := '{}';
begin
  -- This commit waits for the disk. If a crash of the database undid a claim, the same worker could claim the run
  -- again, with the same attempt number.
  if p_calls then
    perform agenthall.call_due_runs();
  end if;
  if v_room > 0 and (v_is_limited or p_turns is not null) then
    v_takes_turns := v_is_limited or agenthall.have_several_owners(0);
  end if;
  if v_takes_turns then
    v_claimed := agenthall.claim_in_turn(
      0, p_worker, v_room, p_lease, p_graphs, p_turns, p_running_of_owner, p_running_of_organization, p_weights);
  elsif v_room > 0 then
    v_next := array(
      select r.run_id from agenthall.runs r
       where r.status = 'pending' and r.ready
         and agenthall.has_turn(r.workers_lost, r.is_called, r.run_at, r.created_at)
         and agenthall.queue_number(r.graph_id) = 0 and r.graph_id = any (p_graphs) and r.run_at <= clock_timestamp()
       order by agenthall.queue_number(r.graph_id), agenthall.tenant_key(r.organization_id, r.owner_id),
                agenthall.owner_key(r.owner_id), r.run_at, r.run_id limit v_room for update skip locked);
  end if;
  if 'instances' = any (p_graphs) then
    v_room := coalesce(p_instance_runs, p_slots - cardinality(v_next) - cardinality(v_claimed));
    v_takes_turns := false;
    if v_room > 0 and (v_is_limited or p_instance_turns is not null) then
      v_takes_turns := v_is_limited or agenthall.have_several_owners(1);
    end if;
    if v_takes_turns then
      v_claimed := v_claimed || agenthall.claim_in_turn(
        1, p_worker, v_room, p_lease, p_graphs, p_instance_turns, p_running_of_owner, p_running_of_organization,
        p_weights);
    elsif v_room > 0 then
      v_next := v_next || array(
        select r.run_id from agenthall.runs r
         where r.status = 'pending' and r.ready
           and agenthall.has_turn(r.workers_lost, r.is_called, r.run_at, r.created_at)
           and agenthall.queue_number(r.graph_id) = 1 and r.run_at <= clock_timestamp()
         order by agenthall.queue_number(r.graph_id), agenthall.tenant_key(r.organization_id, r.owner_id),
                  agenthall.owner_key(r.owner_id), r.run_at, r.run_id limit v_room for update skip locked);
    end if;
  end if;
  if v_next <> '{}' then
    return query
      update agenthall.runs r
         set status = 'running', attempt = r.attempt + 1, worker_id = p_worker,
             lease_until = clock_timestamp() + p_lease, updated_at = clock_timestamp()
       where r.run_id = any (v_next)
      returning r.*;
  end if;
  if v_claimed <> '{}' then
    return query
      select r.* from unnest(v_claimed) with ordinality as c (run_id, number) join agenthall.runs r using (run_id)
       order by c.number;
  end if;
end $$;
comment on function agenthall.claim_runs is
  'Claim ready runs of these graphs for a worker: at most p_slots, and beside them p_instance_runs of the graph of '
  'instances. With p_turns tenants take turns, and owners within a tenant; the runs are returned in that order. '
  'p_calls: look for scheduled runs that are due, too. Runs above a limit of running ones stay in the queue. Claims at '
  'the same moment do not see each other, and may exceed a limit by what they take.';

-- Limits --------------------------------------------------------------------------------------------------------------

create function agenthall.count_pending(p_organization_id uuid, p_owner_id text, p_most integer) returns integer
language plpgsql set enable_seqscan = off set enable_bitmapscan = off as $$
begin
  if p_owner_id is null then
    return (select count(*) from (
      select from agenthall.runs r
       where r.status = 'pending' and r.ready
         and agenthall.has_turn(r.workers_lost, r.is_called, r.run_at, r.created_at)
         and agenthall.queue_number(r.graph_id) in (0, 1)
         and agenthall.tenant_key(r.organization_id, r.owner_id) = agenthall.tenant_key(p_organization_id, null)
         and r.organization_id = p_organization_id
       limit p_most) as found);
  end if;
  return (select count(*) from (
    select from agenthall.runs r
     where r.owner_id = p_owner_id and r.status = 'pending' and r.status in ('pending', 'running')
     limit p_most) as found);
end $$;
comment on function agenthall.count_pending is
  'Count the pending runs of an owner, or those of an organization that could start, up to p_most.';

create function agenthall.limit_pending(
  p_organization_id uuid, p_owner_id text, p_most integer, p_margin integer, p_whose text
) returns integer language plpgsql as $$
declare
  v_found integer := agenthall.count_pending(p_organization_id, p_owner_id, p_most + 1);
begin
  if v_found > p_most - p_margin then
    perform pg_advisory_xact_lock(7168883, hashtext(coalesce(p_owner_id, p_organization_id::text)));
    v_found := agenthall.count_pending(p_organization_id, p_owner_id, p_most + 1);
  end if;
  if v_found > p_most then
    raise exception 'the queue holds % waiting runs of this %, and no more are allowed', p_most, p_whose
      using errcode = 'AH003', constraint = 'too_many_pending_runs';
  end if;
  return p_most - v_found;
end $$;
comment on function agenthall.limit_pending is
  'Fail with AH003 if an organization, or an owner, has more than p_most pending runs; else return how many more it '
  'may have. Transactions that come closer to the limit than p_margin wait for each other, and count again.';

-- SECURITY DEFINER: a member does not see the runs of other members, which count as well.
create function agenthall.limit_pending_runs(
  p_run_id uuid, p_of_owner integer, p_of_organization integer, p_margin integer
) returns integer language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_organization uuid;
  v_owner text;
  v_left integer;
begin
  select r.organization_id, r.owner_id into v_organization, v_owner from agenthall.runs r where r.run_id = p_run_id;
  if found and p_of_owner is not null then
    v_left := agenthall.limit_pending(null, v_owner, p_of_owner, p_margin, 'owner');
  end if;
  if v_organization is not null and p_of_organization is not null then
    v_left := least(v_left, agenthall.limit_pending(v_organization, null, p_of_organization, p_margin, 'organization'));
  end if;
  return v_left;
end $$;
comment on function agenthall.limit_pending_runs is
  'Fail with AH003 if the owner or the organization of a run that was enqueued in this transaction has more pending '
  'runs than allowed. Return how many more they may have.';
revoke execute on function agenthall.limit_pending_runs from public;
grant execute on function agenthall.limit_pending_runs to agenthall_app, agenthall_system;
grant create on schema agenthall to agenthall_system;
alter function agenthall.limit_pending_runs owner to agenthall_system;
revoke create on schema agenthall from agenthall_system;
