"""The recordings of terminals show what the program prints."""

from __future__ import annotations

import pytest

from scripts.record_terminal import IMAGES, recordings, text_of

pytestmark = pytest.mark.server


def test_the_recordings_are_those_of_the_program() -> None:
    drawn = dict(recordings())
    stored = {path.stem: path.read_text(encoding="utf-8") for path in IMAGES.glob("*.svg")}
    assert {*drawn} == {*stored}
    for name, picture in drawn.items():
        assert text_of(picture) == text_of(stored[name]), f"{name}: run `make recordings`"
