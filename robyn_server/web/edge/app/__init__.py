"""Requests that go through the app of a project: its routes, and its middleware around the routes of the server."""
