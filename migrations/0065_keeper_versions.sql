-- Let processes that receive heartbeats say their version, as workers and web processes do.
alter table mcp.lease_keepers add column version text;
comment on column mcp.lease_keepers.version is 'version of the process; null: of a release that does not say it';

drop function mcp.heartbeat_lease_keeper(uuid, text, timestamptz);
create function mcp.heartbeat_lease_keeper(
  id uuid, kind text, now timestamptz default null, version text default null
) returns mcp.lease_keepers language plpgsql as $$
#variable_conflict use_column
declare
  v_now    timestamptz := coalesce(heartbeat_lease_keeper.now, clock_timestamp());
  v_keeper mcp.lease_keepers;
begin
  perform set_config('synchronous_commit', 'off', true);
  insert into mcp.lease_keepers as k (id, kind, started_at, last_heartbeat, version)
  values (id, kind, v_now, v_now, heartbeat_lease_keeper.version)
  on conflict (id) do update
    set last_heartbeat = v_now, stopped_at = null, version = excluded.version,
        outage_began = coalesce(mcp.outage_start(k, v_now), k.outage_began),
        outage_ended = case when mcp.outage_start(k, v_now) is null then k.outage_ended else v_now end
  returning k.* into v_keeper;
  return v_keeper;
end $$;
comment on function mcp.heartbeat_lease_keeper is
  'Record that a process can receive heartbeats. Each such process calls this once a second. Three seconds of silence '
  'are an outage, which is recorded when it ends.';
