-- Let an API key be rotated, with a time in which both secrets are valid, and be bound to assistants.
--
-- A server before this migration knows neither: it refuses the old secret at once, and lets a bound key run any
-- assistant. So rotate and bind keys after the upgrade of all replicas.
create function agenthall.is_assistant_list(assistants uuid[]) returns boolean
language sql immutable parallel safe as $$
  select coalesce(array_ndims(assistants), 1) = 1 and cardinality(assistants) between 1 and 64
     and array_position(assistants, null) is null;
$$;
comment on function agenthall.is_assistant_list is 'Return whether the list has 1 to 64 ids of assistants.';

alter table agenthall.api_keys
  add column assistants uuid[],
  add column rotated_at timestamptz,
  add column previous_digest bytea,
  add column previous_until timestamptz,
  add constraint api_keys_assistants check (agenthall.is_assistant_list(assistants)),
  add constraint api_keys_previous check (
    (previous_digest is null) = (previous_until is null) and octet_length(previous_digest) = 32);
comment on column agenthall.api_keys.assistants is 'the only assistants that the key may run; null: any';
comment on column agenthall.api_keys.previous_digest is 'digest of the secret before the last rotation';
comment on column agenthall.api_keys.previous_until is 'the end of the previous secret';

drop trigger audit_update on agenthall.api_keys;
create trigger audit_update after update on agenthall.api_keys
  for each row when (old.last_used_at is not distinct from new.last_used_at
                     and old.rotated_at is not distinct from new.rotated_at
                     and (old.revoked_at is null) = (new.revoked_at is null))
  execute function agenthall.audit_change('api_key', 'prefix', 'organizations', 'update', '');
create trigger audit_rotate after update on agenthall.api_keys
  for each row when (old.rotated_at is distinct from new.rotated_at)
  execute function agenthall.audit_change('api_key', 'prefix', 'organizations', 'rotate', '');
