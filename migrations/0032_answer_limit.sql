-- Let a list end with an error as soon as its answer is larger than a limit, so that no further row is read.
--
-- Rules
--   1. The limit is a setting of the session, agenthall.max_answer_bytes. Without it there is none.
--   2. A query adds the sizes of its rows as it reads them, and calls refuse_answer() at the first row beyond the
--      limit: see the fragment `bounded` in robyn_server/storage/sql/fragments.sql.

create function agenthall.max_answer_bytes() returns bigint language sql stable parallel safe as
$$ select nullif(current_setting('agenthall.max_answer_bytes', true), '')::bigint $$;
comment on function agenthall.max_answer_bytes is
  'Return the largest size of an answer of this session, in bytes, or null.';

create function agenthall.refuse_answer() returns boolean language plpgsql volatile as $$
begin
  raise exception 'the answer is larger than % bytes (AGENTHALL_MAX_ANSWER_BYTES)', agenthall.max_answer_bytes()
    using errcode = 'AH004';
end $$;
comment on function agenthall.refuse_answer is 'Raise the error of an answer that is larger than max_answer_bytes().';
