"""`edge-agent schema`: the JSON Schema of the configuration, for editors."""

from __future__ import annotations

import json

import typer


def schema() -> None:
    """Print the JSON Schema of the configuration; editors use it to complete and check PLANT.yaml.

    Name the printed file in the first line of the configuration: `# yaml-language-server: $schema=plant.schema.json`.
    """
    from config.schema import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
