-- Items of the store, in a transaction that acts as their owner.

-- include: fragments

-- fragment: item
json_build_object(
  'namespace', i.namespace, 'key', i.key, 'value', i.value,
  'created_at', agenthall.iso(i.created_at), 'updated_at', agenthall.iso(i.updated_at))

-- fragment: found_item
json_build_object(
  'namespace', i.namespace, 'key', i.key, 'value', i.value,
  'created_at', agenthall.iso(i.created_at), 'updated_at', agenthall.iso(i.updated_at), 'score', null)

-- fragment: alive
(i.expires_at is null or i.expires_at > now())

-- fragment: within
i.owner_id = :owner and i.path >= agenthall.namespace_path(:prefix::text[])
   and i.path < agenthall.after_path(agenthall.namespace_path(:prefix))

-- name: put
-- An item that has expired is another one: it gets a new time of creation. Its vectors are replaced.
with item as (
  insert into agenthall.store_items as i (owner_id, namespace, key, value, ttl, expires_at)
  values (:owner, :namespace, :key, :value::jsonb, :ttl::interval, now() + :ttl)
  on conflict on constraint store_items_pkey do update
     set value = excluded.value, updated_at = excluded.updated_at, ttl = excluded.ttl, expires_at = excluded.expires_at,
         created_at = case when {alive} then i.created_at else excluded.created_at end
  returning i.path
), vectors as (
  insert into agenthall.store_vectors as v (owner_id, path, key, field, vector)
  select :owner, item.path, :key, given.field, given.vector::real[]
    from item cross join unnest(:fields::text[], :vectors::text[]) as given (field, vector)
  on conflict on constraint store_vectors_pkey do update set vector = excluded.vector
)
delete from agenthall.store_vectors v
 where v.owner_id = :owner and v.path = agenthall.namespace_path(:namespace::text[]) and v.key = :key
   and not (v.field = any (:fields))

-- name: delete
delete from agenthall.store_items i where i.owner_id = :owner and i.path = agenthall.namespace_path(:namespace::text[]) and i.key = :key

-- name: find
select {item}::text as body
  from agenthall.store_items i
 where i.owner_id = :owner and i.path = agenthall.namespace_path(:namespace::text[]) and i.key = :key and {alive}

-- name: refresh
update agenthall.store_items i
   set expires_at = now() + i.ttl
  from jsonb_array_elements(:read::jsonb) as read (item)
 where i.owner_id = :owner and i.key = read.item ->> 'key' and i.ttl is not null and {alive}
   and i.path = agenthall.namespace_path(array(select jsonb_array_elements_text(read.item -> 'namespace')))

-- name: search_all
select found.namespace, found.key, found.body, {bounded}
  from (select i.namespace, i.key, i.path, i.updated_at, {found_item}::text as body
          from agenthall.store_items i
         where i.owner_id = :owner and {alive} and (:filter::jsonb is null or agenthall.store_matches(i.value, :filter))
         order by i.path, i.updated_at desc, i.key
         limit :limit offset :offset) as found
 order by found.path, found.updated_at desc, found.key

-- name: search_below
select found.namespace, found.key, found.body, {bounded}
  from (select i.namespace, i.key, i.path, i.updated_at, {found_item}::text as body
          from agenthall.store_items i
         where {within} and {alive} and (:filter::jsonb is null or agenthall.store_matches(i.value, :filter))
         order by i.path, i.updated_at desc, i.key
         limit :limit offset :offset) as found
 order by found.path, found.updated_at desc, found.key

-- fragment: beginning
i.namespace[1:coalesce(:steps::integer, cardinality(i.namespace))]

-- fragment: walk
-- Goes from one namespace to the next, so the number of items does not matter. With :steps, it goes from one beginning of
-- so many labels to the next, so the number of namespaces below does not matter either.
with recursive walk (namespace, path) as (
  (select {beginning}, agenthall.namespace_path({beginning})
     from agenthall.store_items i
    where i.owner_id = :owner and i.path >= :from_path and {alive}
    order by i.path
    limit 1)
  union all
  select following.namespace, agenthall.namespace_path(following.namespace)
    from walk
   cross join lateral (
     select {beginning} as namespace
       from agenthall.store_items i
      where i.owner_id = :owner and {alive}
        and i.path > case when cardinality(walk.namespace) = :steps::integer
                          then agenthall.after_path(walk.path) else walk.path end
      order by i.path
      limit 1) as following
   where walk.path < :to_path::text collate "C"
), matching as (
  select w.namespace from walk w
   where w.path < :to_path::text collate "C"
     and not exists (
           select from jsonb_array_elements(:patterns::jsonb) as p (item)
            where not agenthall.namespace_matches(
                    w.namespace, array(select jsonb_array_elements_text(p.item -> 'path')), (p.item ->> 'is_suffix')::boolean))
)

-- name: list_namespaces
{walk}
select found.namespace, {bounded}
  from (select m.namespace, to_json(m.namespace)::text as body from matching m limit :limit offset :offset) as found

-- name: list_namespaces_cut
{walk}
select found.namespace, {bounded}
  from (select cut.namespace, to_json(cut.namespace)::text as body
          from (select distinct m.namespace[1:(:depth)::integer] as namespace from matching m) as cut
         order by cut.namespace
         limit :limit offset :offset) as found
 order by found.namespace

-- name: sweep
delete from agenthall.store_items i
 where i.ctid in (
   select e.ctid from agenthall.store_items e
    where e.expires_at <= now()
    order by e.expires_at
    limit :limit
      for update skip locked)
