"""Decide where the server may connect to for its users: values and decisions, without I/O.

`addresses.py` says what an address is, `policy.py` whether it may be connected to, and `allow_list.py` reads
AGENTHALL_EGRESS_ALLOW. The package `egress` enforces the decision where connections are opened.
"""
