-- Create store_items: long-term memory that graphs and clients share, one space for each owner.
create function agenthall.namespace_path(p_namespace text[]) returns text language sql immutable parallel safe as
$$ select array_to_string(p_namespace, '.') || '.' $$;
comment on function agenthall.namespace_path is
  'Return the labels of a namespace, each followed by a period, which no label contains: a.b. is below a.';

create table agenthall.store_items (
  owner_id   text not null,
  namespace  text[] not null,
  path       text collate "C" not null generated always as (agenthall.namespace_path(namespace)) stored,
  key        text not null,
  value      jsonb not null,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  ttl        interval,
  expires_at timestamptz,
  constraint store_items_pkey primary key (owner_id, path, key),
  constraint store_items_namespace check (
    cardinality(namespace) > 0 and array_position(namespace, null) is null
    and cardinality(string_to_array(path, '.')) = cardinality(namespace) + 1),
  constraint store_items_value check (jsonb_typeof(value) = 'object'),
  constraint store_items_ttl check ((ttl is null) = (expires_at is null))
);
comment on table agenthall.store_items is 'items of the store, by owner, namespace and key';
comment on column agenthall.store_items.path is
  'orders items by namespace: row-level security lets an index use leakproof operators only, and those of text are';
comment on column agenthall.store_items.ttl is
  'how long the item lives after a write, or a read that refreshes it; null: for ever';

-- A search lists the items of a namespace and of those below it, the latest of each first.
create index store_items_latest on agenthall.store_items (owner_id, path, updated_at desc, key);
create index store_items_expired on agenthall.store_items (expires_at) where expires_at is not null;

alter table agenthall.store_items enable row level security;
alter table agenthall.store_items force row level security;
grant select, insert, update, delete on agenthall.store_items to agenthall_app, agenthall_system;
create policy system_all on agenthall.store_items to agenthall_system using (true) with check (true);
create policy all_own on agenthall.store_items to agenthall_app
  using (owner_id = (select agenthall.current_identity()))
  with check (owner_id = (select agenthall.current_identity()));

create function agenthall.after_path(p_path text) returns text language sql immutable parallel safe as
$$ select left(p_path, -1) || '/' $$;
comment on function agenthall.after_path is
  'Return the least text behind a path and all paths below it: in ASCII the slash follows the period.';

create function agenthall.namespace_matches(p_namespace text[], p_pattern text[], p_at_end boolean) returns boolean
language sql immutable parallel safe as $$
  select cardinality(p_namespace) >= cardinality(p_pattern) and not exists (
    select from generate_subscripts(p_pattern, 1) as i
     where p_pattern[i] not in (
       '*', p_namespace[i + case when p_at_end then cardinality(p_namespace) - cardinality(p_pattern) else 0 end]))
$$;
comment on function agenthall.namespace_matches is
  'Return whether a namespace begins, or ends, with a pattern, in which * stands for any label.';

create function agenthall.store_compares(p_value jsonb, p_operator text, p_operand jsonb) returns boolean
language plpgsql immutable parallel safe as $$
begin
  if p_operator = '$eq' then return p_value = p_operand; end if;
  if p_operator = '$ne' then return p_value <> p_operand; end if;
  if jsonb_typeof(p_value) <> jsonb_typeof(p_operand) or jsonb_typeof(p_value) not in ('number', 'string') then
    return false;
  end if;
  if jsonb_typeof(p_value) = 'number' then
    return case p_operator
      when '$gt' then p_value::numeric > p_operand::numeric
      when '$gte' then p_value::numeric >= p_operand::numeric
      when '$lt' then p_value::numeric < p_operand::numeric
      else p_value::numeric <= p_operand::numeric end;
  end if;
  return case p_operator
    when '$gt' then (p_value #>> '{}') collate "C" > (p_operand #>> '{}')
    when '$gte' then (p_value #>> '{}') collate "C" >= (p_operand #>> '{}')
    when '$lt' then (p_value #>> '{}') collate "C" < (p_operand #>> '{}')
    else (p_value #>> '{}') collate "C" <= (p_operand #>> '{}') end;
end $$;

create function agenthall.store_matches(p_value jsonb, p_filter jsonb) returns boolean
language plpgsql immutable parallel safe as $$
declare
  v_name   text;
  v_wanted jsonb;
  v_found  jsonb;
begin
  for v_name, v_wanted in select * from jsonb_each(p_filter) loop
    v_found := coalesce(p_value -> v_name, 'null');
    if jsonb_typeof(v_wanted) <> 'object' or v_wanted = '{}' then
      if v_found <> v_wanted then return false; end if;
    elsif exists (select from jsonb_object_keys(v_wanted) as k (name) where k.name like '$%') then
      if exists (select from jsonb_each(v_wanted) as o (name, operand)
                  where not agenthall.store_compares(v_found, o.name, o.operand)) then
        return false;
      end if;
    elsif jsonb_typeof(v_found) <> 'object' or not agenthall.store_matches(v_found, v_wanted) then
      return false;
    end if;
  end loop;
  return true;
end $$;
comment on function agenthall.store_matches is
  'Return whether a value has the members of a filter: equal values, nested filters, operators. A missing one is null.';

revoke execute on function agenthall.namespace_path, agenthall.after_path, agenthall.namespace_matches,
  agenthall.store_compares, agenthall.store_matches from public;
grant execute on function agenthall.namespace_path, agenthall.after_path, agenthall.namespace_matches,
  agenthall.store_compares, agenthall.store_matches to agenthall_app, agenthall_system;
