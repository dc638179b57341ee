"""Users, and how they authenticate."""
