"""Options of energy factors: what a unit of each carrier stands for.

Imports: standard library, pydantic, config.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from config.energy_factors import BOUGHT, ELECTRICITY_KINDS, GRIDS
from config.options import Options, choice
from config.quantities import Day, Real
from kpi.plant import Carrier

ELECTRICITY = "electricity"
CARRIERS = (ELECTRICITY, *(carrier.value for carrier in Carrier))


class OwnFactor(Options):
    """A figure of the plant's own. From its date on only the plant's own figures of that carrier count."""

    carrier: Annotated[str, *choice("a carrier", *CARRIERS)] = Field(description="What it is a figure of.")
    since: Day | None = Field(None, description="First date on which it holds; always where left out.")
    kgce: Annotated[Real, Field(ge=0)] | None = Field(
        None, description="kg of standard coal in one unit: kWh, m³ of gas or air, kg of steam, t of water, MJ of heat."
    )
    kg_co2e: Annotated[Real, Field(ge=0)] | None = Field(None, description="kg of CO2 equivalent for one unit.")
    source: str = Field(
        min_length=1, max_length=300, description="Where the figure is from; an evaluation asks for it."
    )


class FactorOptions(Options):
    """What energy stands for."""

    electricity: Annotated[str, *choice("a value of electricity", *ELECTRICITY_KINDS)] = Field(
        "calorific",
        description="Standard coal in a kWh: its heat (`calorific`), or what a power station burns for it "
        "(`equivalent`). One for the whole plant, because the two must not be mixed in a total.",
    )
    grid: Annotated[str, *choice("a grid", *GRIDS)] | None = Field(
        None, description="Grid that the electricity is from; without it, or an own figure, there is no CO2e of it."
    )
    bought_media: list[Annotated[str, *choice("a medium that takes energy to make", *BOUGHT)]] = Field(
        [],
        description="Media that come from outside. Others are made with energy that is metered already, and do not "
        "count again.",
    )
    own: list[OwnFactor] = Field([], description="Figures of the plant's own, before those that are shipped.")
