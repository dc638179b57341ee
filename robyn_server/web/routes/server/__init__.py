"""Routes of the server itself: health, description, numbers, the console, and paths that are not offered."""
