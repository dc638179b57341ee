"""Agent sync while the server runs: scheduled passes, the catalogue's change feed, and syncs on request."""
