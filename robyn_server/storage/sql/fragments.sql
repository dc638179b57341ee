-- Fragments that several modules include.

-- fragment: selected_body
-- The JSON object of `page`, reduced to :fields (null: all of them).
(case when :fields::text[] is null then page.body else (
  select coalesce(json_object_agg(field.key, field.value), '{}') from json_each(page.body) as field
   where field.key = any (:fields)) end)

-- fragment: bounded
-- A column of every list. It is null, or ends the statement at the row with which the answer is larger than
-- agenthall.max_answer_bytes: no further row is read. `found.body` is a row of the answer as text. The rows must arrive
-- as they are read: a sort of rendered rows would read them all. So the window has no order.
case when sum(octet_length(found.body)) over (rows unbounded preceding) > (select agenthall.max_answer_bytes())
     then agenthall.refuse_answer() end as is_refused

-- fragment: joined
-- The elements of a JSON array; null if there are none. `page` has the columns body and is_refused. The latter must be
-- read, because PostgreSQL computes no column that nobody reads.
string_agg(page.body, ',') filter (where page.is_refused is null)

-- fragment: ascending
asc

-- fragment: descending
desc

-- fragment: to_1000
-- A constant limit tells the planner to follow an index of the order. For a parameter it assumes a tenth of all rows, for
-- which it sorts the table.
limit 1000

-- fragment: to_5000
limit 5000

-- fragment: to_20000
limit 20000

-- fragment: to_the_end
limit all
