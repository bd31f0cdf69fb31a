"""How commands read PLANT.yaml: faults in it are bad input, all of them at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.commands.faults import BadInputError

if TYPE_CHECKING:
    from config import CompiledPlant, PlantConfig


def read_plant(path: Path) -> tuple[PlantConfig, CompiledPlant]:
    """The configuration in a file, and what it means. Raises BadInputError with all faults."""
    from config import ConfigError, compile_plant, load
    from connectors import TextCodes

    try:
        config = load(path)
        return config, compile_plant(config, TextCodes())
    except ConfigError as fault:
        raise BadInputError(str(fault)) from fault
