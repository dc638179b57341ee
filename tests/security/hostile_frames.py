"""Frames against RFC 6455, and the codes with which a server may close a socket that sent them."""

from __future__ import annotations

import zlib

from .raw_socket import CLOSE, COMPRESSED, FINAL, PING, TEXT, frame, handshake

PROTOCOL_ERROR, INVALID_TEXT, TOO_BIG = 1002, 1007, 1009

BOMB = zlib.compressobj(wbits=-15)
BOMB_BYTES = (BOMB.compress(b'{"type":0,"id":"' + b"x" * 20_000_000) + BOMB.flush(zlib.Z_SYNC_FLUSH))[:-4]

FRAMES: dict[str, tuple[bytes, set[int | None]]] = {
    "a compressed bomb": (frame(BOMB_BYTES, FINAL | COMPRESSED | TEXT), {PROTOCOL_ERROR}),
    "a reserved bit": (frame(b"{}", FINAL | 0x20 | TEXT), {PROTOCOL_ERROR}),
    "a reserved opcode": (frame(b"{}", FINAL | 0x3), {PROTOCOL_ERROR}),
    "a reserved control opcode": (frame(b"", FINAL | 0xB), {PROTOCOL_ERROR}),
    "no mask": (frame(b"{}", masked=False), {PROTOCOL_ERROR}),
    "a frame of 2^63 bytes": (frame(b"x", size=2**63), {PROTOCOL_ERROR, TOO_BIG}),
    "a frame of a gigabyte": (frame(b"x" * 1_000, size=2**30), {TOO_BIG}),
    "a fragmented ping": (frame(b"x", PING), {PROTOCOL_ERROR}),
    "a ping that is too long": (frame(b"x" * 126, FINAL | PING), {PROTOCOL_ERROR}),
    "a continuation of nothing": (frame(b"x", FINAL), {PROTOCOL_ERROR}),
    "a message within a message": (frame(b"x", TEXT) + frame(b"x"), {PROTOCOL_ERROR}),
    "text that is no UTF-8": (frame(b"\xff\xfe"), {INVALID_TEXT}),
    "UTF-8 cut in two": (frame(b"\xc3", TEXT) + frame(b"(", FINAL), {INVALID_TEXT}),
    "a close code out of range": (frame(b"\x00\x01", FINAL | CLOSE), {PROTOCOL_ERROR}),
    "half a close code": (frame(b"\x03", FINAL | CLOSE), {PROTOCOL_ERROR}),
    "a close reason that is no UTF-8": (frame(b"\x03\xe8\xff", FINAL | CLOSE), {PROTOCOL_ERROR, INVALID_TEXT}),
    "a hundred thousand empty fragments": (frame(b"", TEXT) + frame(b"", 0) * 100_000 + frame(b"", FINAL), {TOO_BIG}),
    "fragments that are too long together": (frame(b"x" * 1_000, TEXT) + frame(b"x" * 1_000, 0) * 2_000, {TOO_BIG}),
    "not a frame": (bytes(range(256)) * 40, {PROTOCOL_ERROR, TOO_BIG}),
    "the request again": (handshake(1), {PROTOCOL_ERROR}),
}
