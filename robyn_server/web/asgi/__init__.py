"""The host of a project's own ASGI app: `http.app` of a `langgraph.json`. No framework.

Rules
  1. The app is loaded once, before the process listens. An app that cannot be served stops the start (`loading.py`).
  2. Its startup runs before the process is ready, its shutdown after its last request (`lifespan.py`).
  3. A request is one task on the event loop, which may outlive its answer (`call.py`). It is never cancelled because a
     client left: it receives `http.disconnect`.
  4. Framing belongs to the server: the app's `content-length` and `transfer-encoding` are not passed on (`answers.py`).
  5. Routes of a Starlette or FastAPI app come before the server's (`app_routes.py`). Another app has no routes to read,
     and gets what the server has no route for.

https://asgi.readthedocs.io/en/latest/specs/www.html (HTTP 2.3) and https://asgi.readthedocs.io/en/latest/specs/lifespan.html
"""
