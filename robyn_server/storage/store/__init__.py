"""Items of the store, and their vectors."""
