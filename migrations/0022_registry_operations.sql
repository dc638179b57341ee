-- Let an organization release its own brakes, and say what a time argument of a writing function does.
grant delete on mcp.agent_brakes to agenthall_app;

comment on function mcp.release_brake is
  'Release the brake of a set whose instances are gone for good, as an operator knows. Return false if there was none. '
  'The server offers it as DELETE /agents/brakes/{agent_id}.';
comment on function mcp.sweep_agent_instances is
  'Mark lapsed instances as stale, end those that stayed stale for mcp.retention_inactive(), and delete those that '
  'ended mcp.retention_deleted() ago, each at most max_rows. Update brakes and the pace. Call it as agenthall_system '
  'or as the owner. skipped: another session is sweeping. With another time than the present, it stores what it would '
  'do then: to ask only, roll the transaction back.';
