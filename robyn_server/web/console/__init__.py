"""Serves the files that `make console` built, without a web framework.

Rules
  1. A request never becomes a path of the file system. `BuiltConsole` lists the built files once, and a request is
     looked up in that list.
  2. A name in `assets/` holds the hash of its content, so clients may keep it for ever. Everything else is revalidated.
  3. The page works below any prefix of a proxy: its base is relative to the path of the request.
"""
