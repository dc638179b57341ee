-- Let users find the MCP servers that they connect to themselves.
create index mcp_credentials_for_users on agenthall.mcp_credentials (organization_id, url) where kind = 'connection';
