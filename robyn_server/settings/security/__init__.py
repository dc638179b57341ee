"""Settings of identity, credentials and security."""
