-- Create the roles that the server works as, and grant them to this login, as migration 0001 does.
do $$
declare
  role_name text;
  wanted text := case when current_setting('server_version_num')::integer >= 160000 then 'set' else 'member' end;
begin
  foreach role_name in array array['agenthall_app', 'agenthall_system'] loop
    begin
      execute format('create role %I nologin', role_name);
    exception when duplicate_object or unique_violation then null;
    end;
    begin
      if not pg_has_role(current_user, role_name, wanted) then
        execute format('grant %I to current_user', role_name);
      end if;
    exception when unique_violation then null;
    end;
  end loop;
end $$;
