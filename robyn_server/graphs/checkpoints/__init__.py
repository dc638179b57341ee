"""Checkpoints: the saver, its serializer, and their form in the API."""
