"""Handlers of a project: its `langgraph_sdk.Auth` object authenticates users, and decides what they may do.

Rules
  1. Handlers are loaded once, before a web process listens. Anything that this server does not honour stops the start
     (`loading.py`).
  2. They run on an event loop of their own thread, under a deadline, so that none blocks a request that needs none
     (`calls.py`).
  3. A handler that fails, or returns no decision, lets nobody in (`calls.py`, `authorization.py`).
  4. A filter becomes a grant, which the database applies to every row (`core/access/grants.py`).
"""
