"""Request bodies.

Unknown fields are ignored, as the API does; a known field that is not offered yet is refused by name.
"""
