"""From the models to what a running agent needs: tags, items, the engine's plant.

Rule 1: everything that takes two options to judge is judged here: references, placeholders, duplicates, coverage.
Rule 2: a fault of a profile is told once, at the profile, however many machines follow it.
Rule 3: nothing of the file is looked up again at run time.
Imports: standard library, config, kpi.plant, settings of the connectors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from config.calendars import Planning, always, compile_calendar
from config.collection import Collection
from config.compiled import AgentSettings, CompiledPlant, InfluxSettings, Reason, TagTable
from config.errors import ConfigError, ConfigFault, Path, did_you_mean, suggestion
from config.factor_options import ELECTRICITY
from config.factors import compile_factors
from config.kpis import compile_declared, compile_kpis, compile_line_rule
from config.machines import GIVEN, PlacedMachine, Said, place, placeholders_of
from config.models import PlantConfig
from config.quantities import ENERGY, MEDIA, POWER, SECOND_NS, duration_text
from config.reasons import compile_reason
from config.state_rules import NO_STATE, CompiledState, StateCompiler
from connectors.texts import TextCodes
from kpi import plant as engine
from kpi.declared import Declaration
from kpi.lines import LineKind, LineRule

MQTT_STATE_STALE_NS: Final = 60 * SECOND_NS
"""How long a state over MQTT holds where nothing is said: a broker does not tell that a machine went silent."""

MOST_POWER_GAP_NS: Final = 300 * SECOND_NS
"""Time between two power values that is still added up where nothing is said."""


def compile_plant(
    config: PlantConfig,
    texts: TextCodes,
    *,
    faults: Sequence[ConfigFault] = (),
    aside: frozenset[Path] = frozenset(),
) -> CompiledPlant:
    """What the configuration means, ready to run; texts of rules and products get their codes in `texts`.

    faults: what is known to be wrong already. aside: paths of the parts that were taken out for it; they are still
    known by name, so that nothing is called unknown that is only faulty.
    Raises ConfigError with `faults` and all that are found here.
    """
    return _Compiler(config, texts, list(faults), aside).compile()


def version_of(config: PlantConfig, factors: Sequence[engine.EnergyFactor]) -> str:
    """Short hash of all options with their defaults, without secrets; comments and the order of keys do not matter.

    factors: as compiled; they also come from a file that is shipped, and may change without the plant's.
    """
    everything = {**config.model_dump(mode="json"), "factors": [asdict(factor) for factor in factors]}
    canonical = json.dumps(everything, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


@dataclass(slots=True)
class _Compiler:
    config: PlantConfig
    texts: TextCodes
    faults: list[ConfigFault]
    aside: frozenset[Path]
    warnings: dict[str, list[str]] = field(default_factory=dict)
    reasons: dict[tuple[int, ...], tuple[Reason, ...]] = field(default_factory=dict)
    reasons_of: dict[str, tuple[Reason, ...]] = field(default_factory=dict)
    told: set[tuple[Path, str]] = field(default_factory=set)

    def compile(self) -> CompiledPlant:
        config = self.config
        calendars = self._calendars()
        collection = Collection(config, self._report, self._is_aside)
        states = StateCompiler(self.texts, self._report)
        placed = {machine.options.id: machine for machine in self._placed()}
        machines = tuple(
            self._machine(machine, calendars[machine.line.name], collection, states) for machine in placed.values()
        )
        kpis = compile_kpis(config.kpis, config.plant.failure_denominator, self._report)
        declared = self._declared()
        line_rules = tuple(self._line_rules(machines, placed))
        for product in config.products:
            self.texts.code(product)
        factors = compile_factors(config.factors, config.plant.time_zone, self._report)
        self._check_use(collection)
        self._warn_of_factors(machines, factors)
        opcua, mqtt = collection.opcua_settings(), collection.mqtt_settings()
        if self.faults:
            raise ConfigError(config.document.file, self.faults)
        plant = config.plant
        return CompiledPlant(
            enterprise=plant.enterprise or "",
            site=plant.site,
            timezone=plant.time_zone,
            version=version_of(config, factors),
            tags=TagTable(tuple(collection.tags)),
            plant=engine.Plant(plant.site, plant.time_zone, machines, factors),
            opcua=opcua,
            mqtt=mqtt,
            influx=_influx(config),
            agent=_agent(config),
            warnings=tuple(self._sentences()),
            reasons=self.reasons_of,
            kpis=kpis,
            declared=declared,
            line_rules=line_rules,
        )

    # Faults and warnings

    def _report(self, path: Path, message: str, once: str = "") -> None:
        """Take on a fault. once: its kind, where the machines of one profile would each say it in other words."""
        if (path, once or message) not in self.told:
            self.told.add((path, once or message))
            document = self.config.document
            self.faults.append(document.fault(path, document.redacted(message)))

    def _is_aside(self, room: str, name: str) -> bool:
        """Whether something by this name is in the file, only faulty."""
        return (room,) in self.aside or (room, name) in self.aside

    def _unknown(self, path: Path, what: str, name: str, room: str) -> None:
        hint = suggestion(name, self.config.names_in(room)) or f"; there is no {what} in the file"
        self._report(path, f"unknown {what} {self.config.document.shown(path, name)}{hint}")

    def _warn(self, sentence: str, machine: str = "") -> None:
        self.warnings.setdefault(sentence, []).append(machine)

    def _sentences(self) -> Iterator[str]:
        for sentence, machines in self.warnings.items():
            shown = [machine for machine in machines[:3] if machine]
            more = len(machines) - len(shown)
            names = ", ".join(shown) + (f" and {more} more" if shown and more else "")
            yield f"{names}: {sentence}" if names else sentence

    # Calendars and machines

    def _calendars(self) -> dict[str, Planning]:
        """Line → when work is planned in it."""
        config = self.config
        of_plant = compile_calendar(
            config.calendar, always(config.plant.time_zone), ("calendar",), self._report, self._warn
        )
        has_shifts = config.calendar is not None and config.calendar.shifts is not None
        if not has_shifts and any(line.calendar is None or line.calendar.shifts is None for line in config.lines):
            self._warn("no calendar: work is taken to be planned around the clock")
        made: dict[str, Planning] = {}
        for path, line in config.placed_lines():
            if line.name in made:
                self._report((*path, "name"), f"a second line {self.config.document.shown((*path, 'name'), line.name)}")
            else:
                here = (*path, "calendar")
                made[line.name] = compile_calendar(line.calendar, of_plant, here, self._report, self._warn)
        return made

    def _placed(self) -> Iterator[PlacedMachine]:
        """The machines that can be compiled; whatever keeps one from it has been told."""
        first: dict[str, Path] = {}
        for path, line, options in self.config.machines():
            if options.id in first:
                at = self.config.document.fault((*first[options.id], "id"), "").line
                before = f", the first is in line {at}" if at else ""
                shown = self.config.document.shown((*path, "id"), options.id)
                self._report((*path, "id"), f"a second machine {shown}{before}")
                continue
            first[options.id] = path
            profile = options.profile
            if profile is not None and profile not in self.config.profiles:
                if not self._is_aside("profiles", profile):
                    self._unknown((*path, "profile"), "profile", profile, "profiles")
                continue
            machine = place(self.config, path, line, options)
            self._check_values(machine)
            yield machine

    def _check_values(self, machine: PlacedMachine) -> None:
        wanted = placeholders_of(machine)
        for name in machine.options.values:
            here = (*machine.path, "with", name)
            if name in GIVEN:
                self._report(here, f"`{{{name}}}` is given by the plant itself; choose another name")
            elif name not in wanted:
                hint = did_you_mean(name, sorted(wanted - set(machine.values)))
                self._report(here, f"no text has the placeholder `{{{name}}}`{hint}")

    def _machine(
        self, machine: PlacedMachine, of_line: Planning, collection: Collection, states: StateCompiler
    ) -> engine.Machine:
        options, line = machine.options, machine.line
        here = (*machine.path, "calendar")
        planning = compile_calendar(options.calendar, of_line, here, self._report, self._warn)
        signals = _Signals(machine, collection, len(collection.tags))
        state = self._state(machine, signals, states)
        energy, power = machine.first("energy"), machine.first("power")
        product, reason = machine.first("product"), machine.first("stop_reason")
        reasons = self._reasons_of(machine)
        made = engine.Machine(
            id=options.id,
            name=options.name or options.id,
            line=line.name,
            area=line.area or "",
            calendar=planning.calendar,
            state_model=NO_STATE if state is None else state[0].model,
            state_signals=() if state is None else state[1],
            counters={
                engine.Quantity(name): signals.pieces(name, counter) for name, counter in machine.named("counts")
            },
            product=None if product is None else signals.text("product", product),
            ideal_ns={self.texts.code(name): cycle for name, cycle in self._ideal(machine).items()},
            default_ideal_ns=machine.value("default_ideal_cycle_time"),
            energy=None if energy is None else signals.energy(energy),
            power=None if power is None else signals.power(power),
            most_power_gap_ns=machine.value("longest_power_gap") or MOST_POWER_GAP_NS,
            minor_stop_ns=machine.value("minor_stop"),
            reason=None if reason is None else signals.text("stop_reason", reason),
            reasons={self.texts.code(one.code): one.state for one in reasons if one.state is not None},
            overtime_apart=planning.overtime_apart,
            media={engine.Carrier(name): signals.medium(name, meter) for name, meter in machine.named("media")},
        )
        characteristics = [signals.measured(name, measured) for name, measured in machine.named("measured")]
        made = replace(made, characteristics=tuple(one for one in characteristics if one is not None))
        if state is None:
            made = replace(made, state_signals=self._silence(machine, signals))
        self._warn_of(made, () if state is None else state[0].unused)
        self._warn_of_counts(machine, made)
        return made

    def _silence(self, machine: PlacedMachine, signals: _Signals) -> tuple[engine.Signal, ...]:
        """The link of the machine's first signal, in place of a state."""
        if len(signals.collection.tags) == signals.start:
            self._report(
                machine.path, "has no signals; give `state`, `counts`, `energy`, `media`, `power` or `measured`"
            )
        link = signals.link()
        return () if link is None else (link,)

    @staticmethod
    def _state(
        machine: PlacedMachine, signals: _Signals, states: StateCompiler
    ) -> tuple[CompiledState, tuple[engine.Signal, ...]] | None:
        said = machine.first("state")
        if said is None:
            return None
        state = states.compile(said.value, said.path)
        made = {
            name: signals.state(name, Said(signal, (*said.path, "signals", name)), text=name in state.text)
            for name, signal in said.value.signals.items()
        }
        return state, tuple(made[name] for name in state.model.signals)

    def _reasons_of(self, machine: PlacedMachine) -> tuple[Reason, ...]:
        """The machine's stop reasons: its own, its profile's, the plant's; none where it does not tell any."""
        layers = [(layer.says.reasons, (*layer.path, "reasons")) for layer in machine.layers]
        key = tuple(id(given) for given, _ in layers if given)
        if key not in self.reasons:
            found: dict[str, Reason] = {}
            for given, path in ((self.config.reasons, ("reasons",)), *reversed(layers)):
                for code, one in (given or {}).items():
                    found[code] = compile_reason(code, one, (*path, code), self._report)
            self.reasons[key] = tuple(found.values())
        if machine.first("stop_reason") is None:
            if key:
                self._warn("`reasons`, but no `stop_reason` signal: they have no effect", machine.options.id)
            return ()
        if self.reasons[key]:
            self.reasons_of[machine.options.id] = self.reasons[key]
        else:
            self._warn("a stop reason, but no `reasons`: it is shown, and changes nothing", machine.options.id)
        return self.reasons[key]

    def _ideal(self, machine: PlacedMachine) -> dict[str, int]:
        """Product → ideal cycle time: of the product, then of the profile, then of the machine."""
        products = self.config.products
        cycles = {name: product.ideal_cycle_time for name, product in products.items() if product.ideal_cycle_time}
        for layer in reversed(machine.layers):
            for name, cycle in (layer.says.ideal_cycle_time or {}).items():
                if name not in products and not self._is_aside("products", name):
                    self._unknown((*layer.path, "ideal_cycle_time", name), "product", name, "products")
                cycles[name] = cycle
        return cycles

    # Figures

    def _names(self) -> Iterator[tuple[str, list[str]]]:
        """Names of lines and the ids of their machines as the file has them, those with faults too."""
        given = self.config.document.get(("lines",))
        for line in given if isinstance(given, list) else self.config.model_dump()["lines"]:
            if isinstance(line, dict):
                machines = line.get("machines")
                ids = [one.get("id") for one in machines if isinstance(one, dict)] if isinstance(machines, list) else []
                yield str(line.get("name")), [id_ for id_ in ids if isinstance(id_, str)]

    def _declared(self) -> tuple[Declaration, ...]:
        config, names = self.config, list(self._names())
        machines = [machine for _, machines in names for machine in machines]
        lines = [line for line, _ in names]
        return compile_declared(config.declared, config.plant.time_zone, machines, lines, self._report)

    def _line_rules(
        self, machines: Sequence[engine.Machine], placed: Mapping[str, PlacedMachine]
    ) -> Iterator[LineRule]:
        names = dict(self._names())
        for path, line in self.config.placed_lines():
            if line.rule is not None:
                mine = [machine for machine in machines if machine.line == line.name]
                rule = compile_line_rule(
                    line.rule,
                    line.name,
                    mine,
                    names.get(line.name, []),
                    lambda machine: self._ideal(placed[machine]),
                    (*path, "rule"),
                    self._report,
                    self._warn,
                )
                if rule.kind is not LineKind.SUM:
                    yield rule

    # What is allowed, but perhaps not meant

    def _warn_of(self, machine: engine.Machine, unused: Sequence[str]) -> None:
        counted = set(machine.counters)
        total = engine.Quantity.TOTAL in counted
        good, scrap = engine.Quantity.GOOD in counted, engine.Quantity.SCRAP in counted
        for name in unused:
            self._warn(f"no rule uses the state signal `{name}`", machine.id)
        if machine.state_model is NO_STATE:
            self._warn("no state: availability cannot be had", machine.id)
        if not counted:
            self._warn("no counts: effectiveness, quality ratio and OEE cannot be had", machine.id)
        elif not (good and (scrap or total)) and not (total and scrap):
            self._warn("fewer than two of good, scrap and total: the quality ratio cannot be had", machine.id)
        if machine.default_ideal_ns is None and counted:
            if not machine.ideal_ns:
                self._warn("no ideal cycle time: effectiveness and OEE cannot be had", machine.id)
            elif machine.product is None:
                self._warn(
                    "ideal cycle times by product, but no `product` signal and no `default_ideal_cycle_time`: "
                    "effectiveness and OEE cannot be had",
                    machine.id,
                )

    def _warn_of_counts(self, machine: PlacedMachine, made: engine.Machine) -> None:
        own = [cycle for layer in machine.layers for cycle in (layer.says.ideal_cycle_time or {}).values()]
        own += [made.default_ideal_ns] if made.default_ideal_ns else []
        # The plant's products may be made elsewhere: of their times only the longest says something for certain.
        ideal = min(own) if own else max(made.ideal_ns.values(), default=None)
        for name, said in machine.named("counts"):
            cycle = said.value.fastest_cycle
            if cycle is not None and ideal is not None and cycle > ideal:
                times = f"`fastest_cycle` of {duration_text(cycle)} is longer than the ideal cycle time"
                self._warn(
                    f"{name}: {times}, {duration_text(ideal)}: full speed is taken for jumps", machine.options.id
                )
            timed = said.value.path is not None and (said.value.time or machine.first("time"))
            if said.value.event and not timed:
                self._warn(f"{name}: events without `time`: what is delivered twice counts twice", machine.options.id)

    def _warn_of_factors(self, machines: Sequence[engine.Machine], factors: Sequence[engine.EnergyFactor]) -> None:
        metered = {carrier for machine in machines for carrier in machine.media}
        electricity = [factor for factor in factors if factor.carrier is None]
        own = any(one.carrier == ELECTRICITY and one.kgce is not None for one in self.config.factors.own)
        if any(machine.energy or machine.power for machine in machines):
            if not any(factor.kg_co2e for factor in electricity):
                self._warn("no `factors.grid`: CO2e of electricity cannot be had")
            if self.config.factors.electricity == "equivalent" and not own:
                self._warn(
                    "the equivalent value of electricity is a round figure; give the year's own in `factors.own`"
                )
        for carrier in metered:
            if not any(factor.carrier is carrier for factor in factors):
                self._warn(f"{carrier.value} is metered, and not counted as coal: it is not in `factors.bought_media`")

    def _check_use(self, collection: Collection) -> None:
        followed = {machine.profile for _, _, machine in self.config.machines()}
        for name in self.config.profiles:
            if name not in followed:
                self._warn(f"profile `{name}` is followed by no machine")
        if self.config.reasons and not self.reasons_of:
            self._warn("`reasons` are used by no machine: none has a `stop_reason` signal")
        for name in self.config.connections:
            if name not in collection.links:
                self._warn(f"connection `{name}` has no signals and is not opened")


@dataclass(frozen=True, slots=True)
class _Signals:
    """Makes the engine's signals of one machine, and tags with them. start: how many tags there were before."""

    machine: PlacedMachine
    collection: Collection
    start: int

    def state(self, name: str, said: Said, *, text: bool) -> engine.Signal:
        tag = self.collection.add(self.machine, f"state.{name}", said, unit="", factor=1.0, text=text)
        otherwise = MQTT_STATE_STALE_NS if self.collection.over_mqtt(tag) else None
        held = self._held(tag, said.value.stale_after or self.machine.value("stale_after"), otherwise)
        switch = said.value.switch
        return held if switch is None else replace(held, switch=engine.Switch(switch.on, switch.off))

    def power(self, said: Said) -> engine.Signal:
        tag = self.collection.add(self.machine, "power", said, unit="kW", factor=POWER[said.value.unit], text=False)
        return self._held(tag, said.value.stale_after or self.machine.value("stale_after"))

    def text(self, role: str, said: Said) -> engine.Signal:
        tag = self.collection.add(self.machine, role, said, unit="", factor=1.0, text=True)
        return self._held(tag, said.value.stale_after)

    def pieces(self, quantity: str, said: Said) -> engine.Counter:
        """A counter of pieces, or messages that each tell of some."""
        cycle = said.value.fastest_cycle
        counter = self._counter(quantity, said, "pieces", 1.0, None if cycle is None else SECOND_NS / cycle)
        if said.value.event:
            self._check_event(said, counter.tag)
        return replace(counter, event=said.value.event)

    def _check_event(self, said: Said, tag: int) -> None:
        for option in ("rolls_over_at", "fastest_cycle"):
            if getattr(said.value, option) is not None:
                self.collection.report(
                    (*said.path, option), "has no meaning beside `event: true`: nothing counts up", ""
                )
        if not self.collection.over_mqtt(tag) and self.collection.tags[tag].source:
            message = "belongs to MQTT: OPC UA tells changes only, so two equal pieces in a row would be one"
            self.collection.report((*said.path, "event"), message, "")

    def energy(self, said: Said) -> engine.Counter:
        """A meter of electrical energy, kWh."""
        most = said.value.rated_power
        return self._counter("energy", said, "kWh", ENERGY[said.value.unit], None if most is None else most / 3_600)

    def medium(self, carrier: str, said: Said) -> engine.Counter:
        """A meter of another carrier, in the engine's unit of it."""
        units, most = MEDIA[carrier], said.value.rated_flow
        unit = next(name for name, worth in units.items() if worth == 1.0)
        return self._counter(carrier, said, unit, units[said.value.unit], None if most is None else most / 3_600)

    def _counter(
        self, role: str, said: Said, unit: str, factor: float, most_per_second: float | None
    ) -> engine.Counter:
        """rolls_over_at is a reading in the signal's own unit, so it is converted like the reading."""
        tag = self.collection.add(self.machine, role, said, unit=unit, factor=factor, text=False)
        self.collection.link(tag)
        reading = said.value.rolls_over_at
        return engine.Counter(tag, None if reading is None else reading * factor, most_per_second)

    def measured(self, name: str, said: Said) -> engine.Characteristic | None:
        """A measured value; a characteristic where it has limits."""
        tag = self.collection.add(self.machine, name, said, unit=said.value.unit, factor=1.0, text=said.value.text)
        self.collection.link(tag)
        limits = said.value.limits
        if limits is None:
            return None
        self._check_limits(said)
        given = [limit for limit in (limits.lower, limits.upper) if limit is not None]
        nominal = limits.nominal if limits.nominal is not None else sum(given) / max(len(given), 1)
        return engine.Characteristic(name, tag, limits.lower, limits.upper, nominal)

    def _check_limits(self, said: Said) -> None:
        limits, here = said.value.limits, (*said.path, "limits")
        if said.value.text:
            self.collection.report(here, "a text has no limits; take out `text: true`", "")
        if limits.lower is None and limits.upper is None:
            self.collection.report(here, "gives no limit: `lower`, `upper` or both", "")
        elif limits.lower is not None and limits.upper is not None and limits.lower >= limits.upper:
            message = f"expected more than `lower`, {limits.lower:g}, got {limits.upper:g}"
            self.collection.report((*here, "upper"), message, "")

    def link(self) -> engine.Signal | None:
        """The link of the machine's first signal, as a signal; None where that has no connection, or there is none."""
        if len(self.collection.tags) == self.start:
            return None
        link, holds = self.collection.link(self.start)
        return None if link is None else engine.Signal(link, link, holds)

    def _held(self, tag: int, stale_after: int | str | None, otherwise: int | None = None) -> engine.Signal:
        link, holds = self.collection.link(tag)
        stale = otherwise if stale_after is None else stale_after
        return engine.Signal(tag, link, holds, stale if isinstance(stale, int) else None)


def _influx(config: PlantConfig) -> InfluxSettings | None:
    influx = config.influx
    if influx is None:
        return None
    return InfluxSettings(
        url=influx.url.rstrip("/"),
        bucket=influx.bucket,
        org=influx.org,
        token=influx.token.get_secret_value(),
        timeout_ns=influx.timeout,
        verify_tls=influx.verify_tls,
        overwrites=influx.overwrites,
    )


def _agent(config: PlantConfig) -> AgentSettings:
    agent = config.agent
    return AgentSettings(
        journal=agent.journal,
        tick_ns=agent.tick,
        close_after_ns=agent.close_after,
        correction_horizon_ns=agent.correction_horizon,
        future_tolerance_ns=agent.future_tolerance,
        journal_most_bytes=agent.journal_size,
        keep_minutes_ns=agent.keep_minutes,
        keep_hours_ns=agent.keep_hours,
        raw=agent.raw,
    )
