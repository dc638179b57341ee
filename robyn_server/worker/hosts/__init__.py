"""Parts of the server that graphs use while they run: other agents, credentials, stores."""
