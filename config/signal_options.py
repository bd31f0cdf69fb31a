"""Options of signals: where a value comes from, and what it counts or measures.

Rule: a signal says its unit where its kind has more than one; the compiler converts to the engine's.
Imports: standard library, pydantic, config.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from config.options import MapValue, Options, Topic, choice
from config.quantities import (
    ENERGY,
    GAS,
    HEAT,
    POWER,
    STEAM,
    WATER,
    Duration,
    DurationOrZero,
    Flag,
    GasFlow,
    HeatFlow,
    RatedPower,
    Real,
    StaleAfter,
    SteamFlow,
    WaterFlow,
)

TIME_UNITS = ("s", "ms", "us", "ns", "iso")

_RATED_FLOW = (
    "Most that can flow; a faster rise is a jump, at which nothing is counted. Every rise counts where left out."
)


class TimeSource(Options):
    """Where a message says when its values were taken."""

    path: str = Field(min_length=1, description="Path into the JSON, as in `meta.ts`.")
    unit: Annotated[str, *choice("a unit of time, or `iso`", *TIME_UNITS)] = Field(
        description="Unit of a number since 1970 (UTC), or `iso` for a text such as `2026-10-01T06:00:00Z`."
    )


class Signal(Options):
    """Where one value comes from: a node of OPC UA, or a topic of MQTT and a path in its JSON."""

    node: str | None = Field(
        None, min_length=1, description="OPC UA: NodeId (`ns=2;s=…`, `nsu=…;s=…`) or browse path (`/2:Machines/…`)."
    )
    topic: Topic | None = Field(None, description="MQTT: topic; the machine's or profile's where left out.")
    path: str | None = Field(
        None, min_length=1, description="MQTT: path into the JSON; without it the payload is one number or text."
    )
    time: TimeSource | None = Field(None, description="MQTT: time of the value; the machine's where left out.")
    connection: str | None = Field(None, description="Connection; the machine's or profile's where left out.")
    sampling_interval: DurationOrZero | None = Field(
        None, description="OPC UA: how often the server looks at the value; the connection's where left out."
    )
    raw: Flag = Field(True, description="Whether the samples go to InfluxDB as `signal` too.")


class Held(Signal):
    """A value that holds until the next one."""

    stale_after: StaleAfter | None = Field(
        None, description="How long a value holds without a new one, or `never`; the machine's where left out."
    )


class Scaled(Signal):
    """A number: value = sent × scale + offset."""

    scale: Real = Field(1.0, description="Factor from the value as sent to its unit.")
    offset: Real = Field(0.0, description="Added after `scale`.")


class SwitchOptions(Options):
    """A threshold with hysteresis: a value becomes 1 at or above `on`, 0 at or below `off`, and stays between them."""

    on: Real = Field(description="Value, after `scale`, at and above which it is on: 1.")
    off: Real = Field(description="Value, after `scale`, at and below which it is off: 0; less than `on`.")


class StateSignal(Held, Scaled):
    """A value that tells what the machine is doing."""

    map: dict[str, MapValue] | None = Field(
        None, min_length=1, description="Value as sent → the name by which rules speak of it."
    )
    switch: SwitchOptions | None = Field(
        None, description="Makes a measured value, as power or current, an on (1) or off (0)."
    )


class MeterSignal(Scaled):
    """A reading that counts up."""

    rolls_over_at: Annotated[Real, Field(gt=0)] | None = Field(
        None, description="Reading, after `scale`, at which it starts again from 0; never where left out."
    )


class CountSignal(MeterSignal):
    """A counter of pieces, or messages that each tell of pieces."""

    fastest_cycle: Duration | None = Field(
        None,
        description="Shortest time that a piece can take; a faster rise is a jump, at which nothing is counted. "
        "Where left out, only what is far beyond the planned speed is one.",
    )
    event: Flag = Field(
        False,
        description="Whether each value is so many pieces of its own (`true` is one), not the reading of a counter.",
    )


class EnergySignal(MeterSignal):
    """A meter reading of electrical energy."""

    unit: Annotated[str, *choice("a unit of energy", *ENERGY)] = Field(description="Unit of the reading after `scale`.")
    rated_power: RatedPower | None = Field(
        None,
        description="Most power behind the meter; a faster rise is a jump, at which nothing is counted. Every rise "
        "counts where left out.",
    )


class GasSignal(MeterSignal):
    """A meter reading of gas, or of compressed air."""

    unit: Annotated[str, *choice("a unit of gas", *GAS)] = Field(description="Unit of the reading after `scale`.")
    rated_flow: GasFlow | None = Field(None, description=_RATED_FLOW)


class SteamSignal(MeterSignal):
    """A meter reading of steam."""

    unit: Annotated[str, *choice("a unit of steam", *STEAM)] = Field(description="Unit of the reading after `scale`.")
    rated_flow: SteamFlow | None = Field(None, description=_RATED_FLOW)


class WaterSignal(MeterSignal):
    """A meter reading of water."""

    unit: Annotated[str, *choice("a unit of water", *WATER)] = Field(description="Unit of the reading after `scale`.")
    rated_flow: WaterFlow | None = Field(None, description=_RATED_FLOW)


class HeatSignal(MeterSignal):
    """A meter reading of heat."""

    unit: Annotated[str, *choice("a unit of heat", *HEAT)] = Field(description="Unit of the reading after `scale`.")
    rated_flow: HeatFlow | None = Field(None, description=_RATED_FLOW)


class Media(Options):
    """Meters of energy carriers other than electricity."""

    gas: GasSignal | None = Field(None, description="Natural gas.")
    steam: SteamSignal | None = Field(None, description="Steam.")
    compressed_air: GasSignal | None = Field(None, description="Compressed air.")
    water: WaterSignal | None = Field(None, description="Water.")
    heat: HeatSignal | None = Field(None, description="Heat, as of a district heating.")


class PowerSignal(Scaled):
    """Electrical power at this moment."""

    unit: Annotated[str, *choice("a unit of power", *POWER)] = Field(description="Unit of the value after `scale`.")
    stale_after: StaleAfter | None = Field(
        None, description="How long a value holds without a new one, or `never`; the machine's where left out."
    )


class Limits(Options):
    """Specification limits of a measured value, in its unit: capability is counted against them."""

    lower: Real | None = Field(None, description="Lower specification limit (LSL).")
    upper: Real | None = Field(None, description="Upper specification limit (USL).")
    nominal: Real | None = Field(
        None, description="Value that is aimed at; between the limits, or the one there is, where left out."
    )


class MeasuredSignal(Scaled):
    """A measured value, or a text worth keeping."""

    unit: str = Field("", max_length=30, description="Unit after `scale`, as the boards show it.")
    text: Flag = Field(False, description="Whether the value is a text.")
    limits: Limits | None = Field(
        None, description="Specification limits; each value is then a measurement for Cp, Cpk, Cm and Cmk."
    )


class Counts(Options):
    """Counters of pieces, or messages of single ones."""

    total: CountSignal | None = Field(None, description="All pieces made (PQ).")
    good: CountSignal | None = Field(None, description="Good pieces (GQ).")
    scrap: CountSignal | None = Field(None, description="Pieces to be scrapped (SQ).")
    rework: CountSignal | None = Field(None, description="Pieces to be reworked (RQ).")
    inspected: CountSignal | None = Field(None, description="Pieces inspected (IP).")
    first_pass: CountSignal | None = Field(None, description="Pieces good at the first attempt (GP).")
