"""The events of runs in streams of a Redis or Valkey server, for `REDIS_URL`. Only this package imports the client
library `redis`.

Rules
  1. Redis holds nothing that cannot be lost. The state, the end and the result of a run are in PostgreSQL.
  2. A run has one stream. The id of an entry is `<seq>-<attempt>`, so the server itself keeps the order, and refuses
     what comes twice or from an attempt that is over.
  3. Every stream expires. Each write extends its life, and so does the worker of a run that is silent.
  4. Several Agenthalls, and other programs, may share a server: every key and channel begins with the prefix.
"""
