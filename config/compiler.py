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
from config.cautions import warn_of_counts, warn_of_factors, warn_of_machine
from config.collection import Collection
from config.compiled import AgentSettings, CompiledPlant, InfluxSettings, TagTable
from config.errors import ConfigError, ConfigFault, Path, did_you_mean, suggestion
from config.factors import compile_factors
from config.kpis import compile_declared, compile_kpis, compile_line_rule
from config.machine_signals import MachineSignals
from config.machines import GIVEN, PlacedMachine, Said, place, placeholders_of
from config.models import PlantConfig
from config.plausibility import with_plausible_counters, with_plausible_silence
from config.quantities import SECOND_NS
from config.reasons import Reasons
from config.state_rules import NO_STATE, CompiledState, StateCompiler
from connectors.texts import TextCodes
from kpi import plant as engine
from kpi.declared import Declaration
from kpi.lines import LineKind, LineRule

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
    told: set[tuple[Path, str]] = field(default_factory=set)

    def compile(self) -> CompiledPlant:
        config = self.config
        calendars = self._calendars()
        collection = Collection(config, self._report, self._is_aside)
        states = StateCompiler(self.texts, self._report)
        reasons = Reasons(config.reasons, self.texts, self._report, self._warn)
        placed = {machine.options.id: machine for machine in self._placed()}
        machines = tuple(
            self._machine(machine, calendars[machine.line.name], collection, states, reasons)
            for machine in placed.values()
        )
        kpis = compile_kpis(config.kpis, config.plant.failure_denominator, self._report)
        declared = self._declared()
        line_rules = tuple(self._line_rules(machines, placed))
        for product in config.products:
            self.texts.code(product)
        factors = compile_factors(config.factors, config.plant.time_zone, self._report)
        self._check_use(collection, reasons)
        warn_of_factors(config.factors, machines, factors, self._warn)
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
            reasons=reasons.of_machine,
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
        self, machine: PlacedMachine, of_line: Planning, collection: Collection, states: StateCompiler, reasons: Reasons
    ) -> engine.Machine:
        options, line = machine.options, machine.line
        here = (*machine.path, "calendar")
        planning = compile_calendar(options.calendar, of_line, here, self._report, self._warn)
        signals = MachineSignals(machine, collection, len(collection.tags))
        state = self._state(machine, signals, states)
        energy, power = machine.first("energy"), machine.first("power")
        product, reason = machine.first("product"), machine.first("stop_reason")
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
            cycle_gap_ns=machine.value("cycle_gap"),
            stuck_after_ns=_stuck_after(machine),
            reason=None if reason is None else signals.text("stop_reason", reason),
            reasons=reasons.of(machine),
            reason_of_stop=machine.value("stop_reason_holds") == "stop",
            overtime_apart=planning.overtime_apart,
            media={engine.Carrier(name): signals.medium(name, meter) for name, meter in machine.named("media")},
        )
        characteristics = [signals.measured(name, measured) for name, measured in machine.named("measured")]
        made = replace(made, characteristics=tuple(one for one in characteristics if one is not None))
        if state is None:
            made = replace(made, state_signals=self._silence(machine, signals))
        made = with_plausible_counters(made)
        if machine.value("stuck_after") is None:
            made = with_plausible_silence(made)
        warn_of_machine(made, () if state is None else state[0].unused, self._warn)
        warn_of_counts(machine, made, self._warn)
        return made

    def _silence(self, machine: PlacedMachine, signals: MachineSignals) -> tuple[engine.Signal, ...]:
        """The link of the machine's first signal, in place of a state."""
        if len(signals.collection.tags) == signals.start:
            self._report(
                machine.path, "has no signals; give `state`, `counts`, `energy`, `media`, `power` or `measured`"
            )
        link = signals.link()
        return () if link is None else (link,)

    @staticmethod
    def _state(
        machine: PlacedMachine, signals: MachineSignals, states: StateCompiler
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

    def _check_use(self, collection: Collection, reasons: Reasons) -> None:
        followed = {machine.profile for _, _, machine in self.config.machines()}
        for name in self.config.profiles:
            if name not in followed:
                self._warn(f"profile `{name}` is followed by no machine")
        if self.config.reasons and not reasons.of_machine:
            self._warn("`reasons` are used by no machine: none has a `stop_reason` signal")
        for name in self.config.connections:
            if name not in collection.links:
                self._warn(f"connection `{name}` has no signals and is not opened")


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


def _stuck_after(machine: PlacedMachine) -> int | None:
    said = machine.value("stuck_after")
    return said if isinstance(said, int) else None
