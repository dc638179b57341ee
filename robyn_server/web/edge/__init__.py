"""From a raw HTTP request to a finished reply: authentication, authorization, CORS, access log and errors.

No framework.
"""
