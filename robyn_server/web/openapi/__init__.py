"""The API described from its routes: an OpenAPI document, and a page for people."""
