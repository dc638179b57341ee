"""PostgreSQL: rows in, core values out. The SQL is in `sql/<noun>.sql`, one file for each module."""
