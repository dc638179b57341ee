"""JSON values: reading, writing, hashing and bounding them."""
