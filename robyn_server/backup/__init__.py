"""Back up and restore the server's database with PostgreSQL's own pg_dump and pg_restore.

Rules
  1. A backup is a plain archive of pg_dump, a file or a directory. pg_restore alone can read it.
  2. Of a database of the user's, only the schemas of the server are saved and restored. The embedded database is saved
     as a whole, with the demo's catalogue.
  3. A backup is complete or absent: it is written under another name and renamed. A restore is one transaction.
  4. Row-level security must hide no row: a login that does not see every row is refused.
  5. A password reaches the programs in the environment only. Arguments can be read by every user of the machine.
"""

SCHEMAS = ("agenthall", "langgraph", "mcp")
"""Schemas of the server."""
