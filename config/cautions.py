"""What cannot be had of a configuration, or is perhaps not meant, although nothing is wrong with it.

Rule: a sentence names what is missing, and then what follows from it.
Imports: standard library, config, kpi.plant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from config.factor_options import ELECTRICITY, FactorOptions
from config.machines import PlacedMachine
from config.quantities import duration_text
from config.state_rules import NO_STATE
from kpi.plant import EnergyFactor, Machine, Quantity

Warn = Callable[[str, str], None]
"""Takes a sentence, and the id of the machine that it is about, or nothing."""


def warn_of_machine(machine: Machine, unused: Sequence[str], warn: Warn) -> None:
    """What a machine's signals do not give. unused: state signals that no rule speaks of."""
    counted = set(machine.counters)
    total = Quantity.TOTAL in counted
    good, scrap = Quantity.GOOD in counted, Quantity.SCRAP in counted
    for name in unused:
        warn(f"no rule uses the state signal `{name}`", machine.id)
    if machine.state_model is NO_STATE:
        warn("no state: availability cannot be had", machine.id)
    if not counted:
        warn("no counts: effectiveness, quality ratio and OEE cannot be had", machine.id)
    elif not (good and (scrap or total)) and not (total and scrap):
        warn("fewer than two of good, scrap and total: the quality ratio and the scrap ratio cannot be had", machine.id)
        if total:
            warn("nobody judges the pieces: OEE takes all of them as good", machine.id)
        elif not good:
            warn("neither good nor total: effectiveness and OEE cannot be had", machine.id)
    if machine.default_ideal_ns is None and counted:
        if not machine.ideal_ns:
            warn("no ideal cycle time: effectiveness and OEE cannot be had", machine.id)
        elif machine.product is None:
            warn(
                "ideal cycle times by product, but no `product` signal and no `default_ideal_cycle_time`: "
                "effectiveness and OEE cannot be had",
                machine.id,
            )


def warn_of_counts(machine: PlacedMachine, made: Machine, warn: Warn) -> None:
    """Counters that would refuse full speed, and events that cannot be told from their repetition."""
    own = [cycle for layer in machine.layers for cycle in (layer.says.ideal_cycle_time or {}).values()]
    own += [made.default_ideal_ns] if made.default_ideal_ns else []
    # The plant's products may be made elsewhere: of their times only the longest says something for certain.
    ideal = min(own) if own else max(made.ideal_ns.values(), default=None)
    for name, said in machine.named("counts"):
        cycle = said.value.fastest_cycle
        if cycle is not None and ideal is not None and cycle > ideal:
            longer = f"`fastest_cycle` of {duration_text(cycle)} is longer than the ideal cycle time"
            warn(f"{name}: {longer}, {duration_text(ideal)}: full speed is taken for jumps", made.id)
        timed = said.value.path is not None and (said.value.time or machine.first("time"))
        if said.value.event and not timed:
            warn(f"{name}: events without `time`: what is delivered twice counts twice", made.id)


def warn_of_factors(
    options: FactorOptions, machines: Sequence[Machine], factors: Sequence[EnergyFactor], warn: Warn
) -> None:
    """Energy that is metered and stands for nothing, or for a round figure."""
    if any(machine.energy or machine.power for machine in machines):
        if not any(factor.kg_co2e for factor in factors if factor.carrier is None):
            warn("no `factors.grid`: CO2e of electricity cannot be had", "")
        own = any(one.carrier == ELECTRICITY and one.kgce is not None for one in options.own)
        if options.electricity == "equivalent" and not own:
            warn("the equivalent value of electricity is a round figure; give the year's own in `factors.own`", "")
    for carrier in sorted({carrier for machine in machines for carrier in machine.media}):
        if not any(factor.carrier is carrier for factor in factors):
            warn(f"{carrier.value} is metered, and not counted as coal: it is not in `factors.bought_media`", "")
