"""Values and decisions: no I/O, no clock, no framework.

Every other room may import this one; it imports none of them.
"""
