"""Postgres: rows in, core values out. All SQL lives in `sql/<noun>.sql`."""
