"""Boards as code. Knows names of measurements, tags and fields (`config.names`), and nothing else of the project."""
