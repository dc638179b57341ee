-- Keep the signs of vectors in the primary key, so that a search in a large namespace compares few whole vectors.
--
-- Vectors that are near have most signs in common. An index-only scan reads the signs of one owner's texts, which are
-- 32 times smaller than the vectors.
create function agenthall.vector_signs(p_vector real[]) returns bit varying language sql immutable parallel safe as $$
  select string_agg(case when number > 0 then '1' else '0' end, '' order by place)::bit varying
    from unnest(p_vector) with ordinality as numbers (number, place)
$$;
comment on function agenthall.vector_signs is 'Return a bit for each number of a vector: 1 if it is positive.';
revoke execute on function agenthall.vector_signs from public;
grant execute on function agenthall.vector_signs to agenthall_app, agenthall_system;

-- Larger vectors have none, because an index entry has less than 2,704 bytes.
alter table agenthall.store_vectors add column signs bit varying
  generated always as (case when cardinality(vector) <= 4096 then agenthall.vector_signs(vector) end) stored;
comment on column agenthall.store_vectors.signs is
  'signs of the vector, in the order of its numbers; null for more than 4,096 numbers';

alter table agenthall.store_vectors drop constraint store_vectors_pkey;
alter table agenthall.store_vectors
  add constraint store_vectors_pkey primary key (owner_id, path, key, field) include (signs);
