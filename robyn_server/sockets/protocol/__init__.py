"""The WebSocket protocol: message envelopes, parameters, and error and close codes."""
