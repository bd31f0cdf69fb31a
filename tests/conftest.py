"""Fixtures that several test folders share; servers live in `tests/services`."""
