"""Enforce the egress policy where connections are opened.

`network.py` resolves a host, asks the policy about each address, and connects to a checked one. `clients.py` puts it
under the HTTP clients of others. The decision is `core.egress`.
"""
