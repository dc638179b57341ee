"""Chunked bodies as an attacker sends them: those of the audit that aborted a web process, and others."""

from __future__ import annotations

MALFORMED = {
    "no-hex": b"ZZ\r\nabc\r\n0\r\n\r\n",
    "negative": b"-1\r\nx\r\n0\r\n\r\n",
    "prefixed": b"0x2\r\nab\r\n0\r\n\r\n",
    "over-64-bits": b"fffffffffffffffff\r\nx\r\n0\r\n\r\n",
    "no-line-end": b"3\r\nabcdef\r\n0\r\n\r\n",
    "no-size": b"\r\n\r\n",
    "signed": b"+2\r\nab\r\n0\r\n\r\n",
    "blank-before": b" 2\r\nab\r\n0\r\n\r\n",
    "bare-line-feeds": b"2\n{}\n0\n\n",
    "nul": b"2\x00\r\n{}\r\n0\r\n\r\n",
    "second-chunk": b"2\r\n{}\r\nZZ\r\n",
    "no-colon-in-trailer": b"2\r\n{}\r\n0\r\nno colon\r\n\r\n",
}

VALID = {
    "plain": b"2\r\n{}\r\n0\r\n\r\n",
    "trailer": b"2\r\n{}\r\n0\r\nX: y\r\n\r\n",
    "extension": b"2;a=b\r\n{}\r\n0\r\n\r\n",
}
