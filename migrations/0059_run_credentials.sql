-- Create the encrypted token of the caller for each run that needs it, from its start to its end. `sealed` is bound to
-- the run and its owner. The end of the run deletes it.
create table agenthall.run_credentials (
  run_id uuid primary key references agenthall.runs on delete cascade,
  sealed bytea not null,
  constraint run_credentials_sealed check (octet_length(sealed) between 37 and 65536)
);
alter table agenthall.run_credentials enable row level security;
alter table agenthall.run_credentials force row level security;
-- A principal writes the token of its own run, and reads none.
grant select (run_id), insert, delete on agenthall.run_credentials to agenthall_app;
grant select, insert, delete on agenthall.run_credentials to agenthall_system;
create policy system_all on agenthall.run_credentials to agenthall_system using (true) with check (true);
create policy all_of_own on agenthall.run_credentials to agenthall_app
  using (exists (select from agenthall.runs r where r.run_id = run_credentials.run_id))
  with check (exists (select from agenthall.runs r where r.run_id = run_credentials.run_id));

create function agenthall.delete_run_credentials() returns trigger language plpgsql as $$
begin
  delete from agenthall.run_credentials c where c.run_id = new.run_id;
  return null;
end $$;
create trigger delete_run_credentials after update of status on agenthall.runs for each row
  when (old.status in ('pending', 'running') and new.status not in ('pending', 'running'))
  execute function agenthall.delete_run_credentials();
