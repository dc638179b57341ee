"""Smoke: the package imports and knows its version."""

import robyn_server


def test_the_package_has_a_version() -> None:
    assert robyn_server.__version__
