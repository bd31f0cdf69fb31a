"""The one way in: a YAML file becomes a configuration, or one error with everything that is wrong with it.

Imports: standard library, config.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from config.compiled import CompiledPlant
from config.compiler import compile_plant
from config.document import read
from config.errors import ConfigError
from config.models import PlantConfig
from config.shape import validate
from connectors.texts import TextCodes


def load(path: str | Path, environment: Mapping[str, str] | None = None) -> PlantConfig:
    """The configuration in a file, checked as far as one needs no second look at the plant: `compile_plant` does that.

    environment: for `${NAME}`; the process's own where left out.
    Raises ConfigError with all faults, those that compiling would find included.
    """
    document, faults = read(Path(path), os.environ if environment is None else environment)
    config, shape_faults, aside = validate(document)
    faults += shape_faults
    if config is None:
        raise ConfigError(document.file, faults)
    if faults:
        compile_plant(config, TextCodes(), faults=faults, aside=aside)
    return config


def load_and_compile(
    path: str | Path, texts: TextCodes | None = None, environment: Mapping[str, str] | None = None
) -> CompiledPlant:
    """The plant that a file describes, ready to run. texts: the journal's codes; fresh ones where left out.

    Raises ConfigError with all faults.
    """
    return compile_plant(load(path, environment), TextCodes() if texts is None else texts)
