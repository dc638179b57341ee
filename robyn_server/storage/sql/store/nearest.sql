-- The search of the store by meaning, in a transaction that acts as the owner of the items.

-- include: fragments

-- fragment: item
json_build_object(
  'namespace', i.namespace, 'key', i.key, 'value', i.value,
  'created_at', agenthall.iso(i.created_at), 'updated_at', agenthall.iso(i.updated_at), 'score', page.score)

-- fragment: alive
(i.expires_at is null or i.expires_at > now())

-- fragment: texts
v.owner_id = :owner and v.path >= :from_path and v.path < :to_path

-- fragment: bodies
-- Bodies of the items in `page`, in the order of the search.
select found.namespace, found.key, found.body, {bounded}
  from (select i.namespace, i.key, page.score, page.path, page.updated_at, {item}::text as body
          from page
         cross join lateral (
           select item.* from agenthall.store_items item
            where item.owner_id = :owner and item.path = page.path and item.key = page.key) as i) as found
 order by found.score desc nulls last, found.path, found.updated_at desc, found.key

-- name: search_nearest_exactly
-- Compares all vectors of the namespaces, so the answer is exact. The best of an item's vectors counts. Items without a
-- vector come last. Groups the union instead of joining: the planner does not know how many rows one owner has, and a
-- nested loop would take the square of their number.
with page as materialized (
  select each.path, each.key, max(each.score) as score, max(each.updated_at) as updated_at
    from (select v.path, v.key, 1 - agenthall.cosine_distance(v.vector, :vector::real[]) as score,
                 null::timestamptz as updated_at
            from agenthall.store_vectors v
           where {texts} and cardinality(v.vector) = :dimensions
           union all
          select i.path, i.key, null, i.updated_at
            from agenthall.store_items i
           where i.owner_id = :owner and i.path >= :from_path and i.path < :to_path and {alive}
             and (:filter::jsonb is null or agenthall.store_matches(i.value, :filter))) as each
   group by each.path, each.key
  having max(each.updated_at) is not null
   order by score desc nulls last, each.path, max(each.updated_at) desc, each.key
   limit :limit offset :offset
)
{bodies}

-- name: search_by_signs_has_many
-- Reads no more than that many entries of an index.
select count(*) = :many from (select from agenthall.store_vectors v where {texts} limit :many) as counted

-- name: search_by_signs
-- Compares the signs of all vectors, and the whole vectors of the items with the nearest ones. Returns nothing if so few
-- of these match that better ones may be among the others.
with near as (
  select v.path, v.key, bit_count(v.signs # (select :signs::text::bit varying)) as distance
    from agenthall.store_vectors v
   where {texts} and length(v.signs) = :dimensions
   order by distance
   limit :compared
), candidate as materialized (
  select near.path, near.key, matching.updated_at
    from (select near.* from near order by near.distance offset 0) as near
   cross join lateral (
     select i.updated_at
       from agenthall.store_items i
      where i.owner_id = :owner and i.path = near.path and i.key = near.key and {alive}
        and (:filter::jsonb is null or agenthall.store_matches(i.value, :filter))
     offset 0) as matching
   limit :candidates
), page as materialized (
  select c.path, c.key, c.updated_at, best.score
    from (select distinct candidate.path, candidate.key, candidate.updated_at from candidate) as c
   cross join lateral (
     select max(1 - agenthall.cosine_distance(v.vector, :vector::real[])) as score
       from agenthall.store_vectors v
      where v.owner_id = :owner and v.path = c.path and v.key = c.key and cardinality(v.vector) = :dimensions
     offset 0) as best
   where (select count(*) from candidate) = :candidates
   order by best.score desc nulls last, c.path, c.updated_at desc, c.key
   limit :limit offset :offset
)
{bodies}
