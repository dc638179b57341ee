"""Queries of operators: disk usage, facts for backups."""
