"""The API reference at `/docs`, in which operations can be opened and tried: a page around Swagger UI.

Rules
  1. Its files come from the package swagger-ui-bundle-v2. Without the package, `/docs` is the plain page.
  2. The page may load and call this server alone. Its policy forbids inline scripts and styles, and frames.
  3. Addresses are relative to the page, so that it works below the prefix of a proxy.
"""
