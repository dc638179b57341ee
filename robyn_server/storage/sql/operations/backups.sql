-- Facts of a database that a backup or a restore needs. Runs as the login itself.

-- name: describe
select current_setting('server_version_num')::integer / 10000 as major,
       current_setting('server_version') as version,
       current_user as login,
       coalesce((select s.ssl from pg_stat_ssl s where s.pid = pg_backend_pid()), false) as uses_tls,
       exists (select from pg_class c
                where c.relnamespace = any(select n.oid from pg_namespace n where n.nspname = any(:schemas::text[]))
                  and c.relkind in ('r', 'p') and row_security_active(c.oid)) as has_row_security

-- name: tables
-- System schemas never count. A null :schemas means all others.
select n.nspname as schema, c.relname as name
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p', 'm')
   and c.relpersistence <> 't'
   and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and (:schemas::text[] is null or n.nspname = any(:schemas::text[]))
 order by 1, 2

-- name: hidden_tables
-- Tables of which row-level security may hide rows from this login: no policy for one of its roles shows every row, or
-- a restrictive policy exists.
select format('%I.%I', n.nspname, c.relname)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p') and n.nspname = any(:schemas::text[]) and row_security_active(c.oid)
   and (not exists (select from pg_policy p
                     where p.polrelid = c.oid and p.polpermissive and p.polcmd in ('*', 'r')
                       and pg_get_expr(p.polqual, p.polrelid) = 'true'
                       and exists (select from unnest(p.polroles) as r(role)
                                    where r.role = 0 or pg_has_role(current_user, r.role, 'usage')))
        or exists (select from pg_policy p where p.polrelid = c.oid and not p.polpermissive and p.polcmd in ('*', 'r')))
 order by 1

-- name: occupied_schemas
-- A schema is occupied if it has a table, a view, a sequence, a function or a type of its own. Objects of extensions do
-- not count.
select n.nspname
  from pg_namespace n
 where n.nspname = any(:schemas::text[])
   and exists (select from pg_depend d
                where d.refclassid = 'pg_namespace'::regclass and d.refobjid = n.oid and d.deptype = 'n'
                  and d.classid in ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass)
                  and not exists (select from pg_depend e
                                   where e.classid = d.classid and e.objid = d.objid and e.deptype = 'e'))
 order by 1

-- name: dependent_objects
-- Objects outside of the schemas that need an object inside, and that DROP … CASCADE would remove with it.
select distinct (select o.type || ' ' || o.identity from pg_identify_object(d.classid, d.objid, d.objsubid) o)
  from pg_depend d,
       pg_identify_object_as_address(d.refclassid, d.refobjid, d.refobjsubid) as needed,
       pg_identify_object_as_address(d.classid, d.objid, d.objsubid) as needing
 where d.deptype in ('n', 'a')
   and d.refclassid <> 'pg_namespace'::regclass
   and d.classid <> 'pg_default_acl'::regclass
   and split_part(needed.object_names[1], '.', 1) = any(:schemas::text[])
   and split_part(needing.object_names[1], '.', 1) <> all(:schemas::text[])
 order by 1

-- name: count_sessions
-- Sessions of a server. Those that only read a catalogue may belong to a server with another database.
select count(*)
  from pg_stat_activity a
 where a.datname = current_database() and a.pid <> pg_backend_pid()
   and a.application_name like 'agenthall %' and a.application_name not like '%catalogue%'

-- name: count_rows
select (select count(*) from agenthall.threads) as threads, (select count(*) from agenthall.runs) as runs,
       (select count(*) from agenthall.assistants) as assistants, (select count(*) from agenthall.api_keys) as keys,
       (select count(*) from mcp.agent_instances) as instances
