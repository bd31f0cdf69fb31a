"""The one YAML file: its models, its loader and errors, and what it compiles to.

May name types of `kpi` and `connectors`; must not know `edge_agent`. The way through the room: `document` reads YAML,
`shape` holds it against the `models`, `compiler` makes of it what an agent runs.
"""

from config.compiled import CompiledPlant, TagInfo, TagTable
from config.compiler import compile_plant
from config.errors import ConfigError, ConfigFault
from config.loader import load, load_and_compile
from config.models import PlantConfig
from config.schema import json_schema
from config.summary import Summary, summary

__all__ = [
    "CompiledPlant",
    "ConfigError",
    "ConfigFault",
    "PlantConfig",
    "Summary",
    "TagInfo",
    "TagTable",
    "compile_plant",
    "json_schema",
    "load",
    "load_and_compile",
    "summary",
]
