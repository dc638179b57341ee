-- Let a configuration say where its agent runs, and how work is given to its instances.
--
-- Rules
--   1. `execution` null is the default, which follows from the other columns: an agent without a model and a prompt
--      runs in its instances. Only mcp.effective_execution() decides.
--   2. `jobs` holds the options that were given. mcp.job_options() adds the defaults of the others.

create function mcp.is_version_range(range text) returns boolean language plpgsql immutable parallel safe as $$
declare
  v_comparator text;
  v_count      integer := 0;
begin
  if char_length(range) not between 1 and 255 then
    return false;
  end if;
  foreach v_comparator in array string_to_array(range, ',') loop
    v_count := v_count + 1;
    if v_count > 16 or mcp.version_key(substring(btrim(v_comparator) from '^(?:>=|<=|==|>|<|=)?\s*([vV]?[0-9].*)$'))
       is null then
      return false;
    end if;
  end loop;
  return true;
end $$;
comment on function mcp.is_version_range is
  'Return whether the text is a range of versions: 1 to 16 comparators such as >=1.2,<2, joined by commas.';

create function mcp.is_number_between(value jsonb, lowest numeric, highest numeric) returns boolean
language plpgsql immutable parallel safe as $$
begin
  return jsonb_typeof(value) = 'number' and value::numeric = trunc(value::numeric)
     and value::numeric between lowest and highest;
end $$;
comment on function mcp.is_number_between is 'Return whether a JSON value is a whole number within these limits.';

create function mcp.is_json_string_list(value jsonb) returns boolean language plpgsql immutable parallel safe as $$
begin
  return jsonb_typeof(value) = 'array' and jsonb_array_length(value) <= 64
     and not exists (select from jsonb_array_elements(value) as word where jsonb_typeof(word) <> 'string')
     and mcp.is_string_list(array(select jsonb_array_elements_text(value)));
end $$;
comment on function mcp.is_json_string_list is
  'Return whether a JSON value is a list of at most 64 strings of 1 to 128 characters.';

create function mcp.is_job_option(name text, value jsonb) returns boolean
language plpgsql immutable parallel safe as $$
begin
  return coalesce(case name
    when 'retry' then value in ('"never"', '"if_silent"', '"always"')
    when 'max_attempts' then mcp.is_number_between(value, 1, 100)
    when 'schedule_to_start_seconds' then value = 'null' or mcp.is_number_between(value, 0, 2592000)
    when 'run_within_seconds' then value = 'null' or mcp.is_number_between(value, 1, 2592000)
    when 'required_capabilities' then mcp.is_json_string_list(value)
    when 'required_tags' then mcp.is_json_string_list(value)
    when 'version' then value = 'null' or jsonb_typeof(value) = 'string' and mcp.is_version_range(value #>> '{}')
    when 'zone' then value = 'null'
                     or jsonb_typeof(value) = 'string' and char_length(value #>> '{}') between 1 and 128
  end, false);
end $$;
comment on function mcp.is_job_option is
  'Return whether this is a member of agent_configurations.jobs, with its value.';

create function mcp.is_job_options(jobs jsonb) returns boolean language plpgsql immutable parallel safe as $$
begin
  return jsonb_typeof(jobs) = 'object'
     and not exists (select from jsonb_each(jobs) as option where not mcp.is_job_option(option.key, option.value));
end $$;
comment on function mcp.is_job_options is
  'Return whether a JSON value is an object whose members are options of jobs, with values that they can have.';

create function mcp.job_options(jobs jsonb default '{}') returns jsonb language sql immutable parallel safe as $$
  select '{"retry": "if_silent", "max_attempts": 3, "schedule_to_start_seconds": 60, "run_within_seconds": null,
           "required_capabilities": [], "required_tags": [], "version": null, "zone": null}'::jsonb || jobs
$$;
comment on function mcp.job_options is
  'Return the options of jobs with the defaults of those that are not given. retry is never, if_silent (nothing was '
  'streamed yet) or always. A job waits schedule_to_start_seconds for an instance: 0 fails at once, null waits without '
  'a limit. run_within_seconds is null without a limit. version is a range such as >=1.2,<2.';

alter table mcp.agent_configurations
  add column execution text,
  add column jobs jsonb not null default '{}',
  add constraint agent_configurations_execution check (execution in ('instances', 'here')),
  add constraint agent_configurations_jobs check (mcp.is_job_options(jobs));
comment on column mcp.agent_configurations.execution is
  'instances: its instances do the work. here: this server runs it. null: instances without a model and a prompt, else '
  'here; see mcp.effective_execution().';
comment on column mcp.agent_configurations.jobs is
  'options for work that is given to instances; mcp.job_options(jobs) has all of them, with their defaults';

create function mcp.effective_execution(execution text, model_id text, system_prompt text) returns text
language sql immutable parallel safe as $$
  select coalesce(execution, case when model_id is null and system_prompt is null then 'instances' else 'here' end)
$$;
comment on function mcp.effective_execution is
  'Return where the agent of a configuration runs: instances or here.';
