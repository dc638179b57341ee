"""Access: principals, API keys, scopes, grants, quotas."""
