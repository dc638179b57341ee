"""Access to routes: credentials, the handlers of a project, and the events that they are asked about."""
