"""The JSON Schema of the configuration file, for editors: completion, descriptions and faults while typing.

Imports: standard library, pydantic, config.models.
"""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from config.models import PlantConfig
from config.quantities import DurationNs, SizeBytes, duration_text, size_text


class _Generator(GenerateJsonSchema):
    """Writes defaults as the file does."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """The option's own name is its title; a second one only makes the editor's hint longer."""
        return False

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, DurationNs):
            return duration_text(dft)
        if isinstance(dft, SizeBytes):
            return size_text(dft)
        return super().encode_default(dft)


def json_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of the configuration file."""
    made = PlantConfig.model_json_schema(schema_generator=_Generator, mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "edge-agent configuration"}
