"""Writes docs/configuration.md from the models of the configuration: `python -m docs.configuration`.

Rule: options, defaults and descriptions come from the JSON Schema, the rows of state models, lamps, losses, units and
factors from the tables that the program reads. Only what connects them is written here, and a test compiles each
snippet.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Final

from config import json_schema
from config.energy_factors import BOUGHT, Figure, shipped
from config.quantities import DURATIONS, ENERGY, MEDIA, POWER, SIZES
from config.ready_rule import ReadyRule
from config.reasons import LOSSES
from config.stack_light import USUAL
from config.state_models import READY_MODELS, ReadyModel

PAGE: Final = Path(__file__).parent / "configuration.md"

_HEAD: Final = """\
# The configuration file

All options of the one YAML file. This page is generated from the models that read it (`python -m docs.configuration`);
a test keeps it equal to them, and compiles its examples. `edge-agent schema` prints the same for editors, and
`edge-agent validate PLANT.yaml` says all faults at once, but for those of parts that cannot be read before others are
mended, and what cannot be had from the file. Whole files are in
[config/examples](../config/examples).

{writing}

YAML 1.2 is read: `on` and `06:00` are texts. An option that is not known is a fault, with the nearest one that is.
"""

_WRITING: Final = (
    ("a duration", "with its unit, as in `500 ms` or `15 min`: {durations}"),
    ("a size", "with its unit, as in `2 GB`: {sizes}"),
    ("a time of day, a date, both", '`"06:00"`, `2026-10-01`, `"2026-08-03 06:00"`: by the plant\'s wall clock'),
    (
        "something from outside",
        "`${NAME}`, `${NAME:-default}`, `${file:/path}`; no message, log or hash shows what was put in",
    ),
    (
        "what differs between the machines of a profile",
        "`{machine}`, `{line}`, `{area}`, `{site}`, `{enterprise}`, and a machine's own of `with`; `{{` is a brace",
    ),
)

_CHAPTERS: Final[tuple[tuple[str, tuple[str, ...], str], ...]] = (
    # heading, models whose options follow, text before them
    ("The whole file", ("",), ""),
    ("plant", ("PlantNames",), ""),
    ("agent", ("Agent",), ""),
    ("influx", ("Influx",), ""),
    (
        "calendar",
        ("CalendarOptions", "ShiftOptions", "Break", "PlannedStop"),
        """\
The plant has a calendar, and so may each line and each machine: what a machine's calendar does not say is its line's,
and then the plant's. Planned stops add up instead. Shifts are planned operation time; breaks and planned stops within
them are not planned busy time, so they are no loss. A stop that is planned `maintenance` is also counted as such (PMT
and APMT, so in the corrective maintenance ratio), outside shifts as APMT alone, while the machine neither produces nor
sets up, whatever else it says of its state.

Times are read on the wall clock of their day, so a night shift over a clock change is an hour longer or shorter. So is
a break that holds the change: from `02:30` to `03:30` it lasts two hours in the night in which the clock is set back
from 3:00 to 2:00. One that lies in the repeated hour alone is taken once, the first time. A
shift whose hours change keeps its name: give it twice, with `valid_until` and `valid_from`.

```yaml
calendar:
  shifts:
    - {name: early, start: "06:00", end: "14:00", days: [mon, tue, wed, thu, fri], valid_until: 2026-12-31}
    - {name: early, start: "05:30", end: "13:30", days: [mon, tue, wed, thu, fri], valid_from: 2027-01-01}
    - name: night
      start: "22:00"
      end: "05:30"
      days: [sun, mon, tue, wed, thu]
      breaks: [{start: "01:00", end: "01:30"}]
    - {name: saturday, start: "06:00", end: "12:00", days: []}
  holidays: [2026-12-25, 2026-12-26]
  exceptions:
    2026-12-19: [saturday]
    2026-12-24: []
  planned_stops:
    - {start: "2026-08-03 06:00", end: "2026-08-14 22:00"}
    - {start: "2026-09-05 06:00", end: "2026-09-05 10:00", kind: maintenance}
  overtime: apart
```""",
    ),
    (
        "connections",
        ("OpcUaConnection", "Security", "MqttConnection", "Tls"),
        "One entry a server or broker, by a name of your own; `type` says of which kind it is.",
    ),
    ("products", ("Product",), ""),
    (
        "reasons",
        ("ReasonOptions",),
        """\
Why a machine stands, by what its `stop_reason` signal sends (a number matches by its text). A reason with a loss
decides what the stop counts as, whatever the state signals and the length of the stop say; it has no say while the
machine produces, sets up or is unknown. A reason that is not in the tree changes nothing. A profile and a machine may
have `reasons` of their own, which come before the plant's, code by code.

A reason holds until the signal says another, or none: right where a controller writes the reason of the moment and
takes it away. Where people give the reason of a stop at a terminal, and it stays there, say `stop_reason_holds: stop`:
the reason is then of the stop in which it is given, of all of it, also of what was before somebody gave it, and of no
later one. The stop's minutes are corrected when the reason comes. A stop ends when the machine produces or sets up
again; a reason that comes after that is of no stop, one that comes up to 10 s before a stop is of it. Of several the
last one counts, so a slip can be corrected; emptying the signal, or a value without a loss such as `0` or `NONE`, takes
no reason away. A reason that is sent again is given again, so this is nothing for messages that repeat the last reason
each time. Of a stop that began before `correction_horizon` only the later part is corrected, and that is counted under
`reason_beyond_horizon`.

```yaml
reasons:
  E101: {name: Spindle drive, group: [Technical, Drives], loss: breakdown}
  17: {name: No pallets, group: [Logistics], loss: starved}
  LUNCH: {name: Team meeting, planned: true}
  NOTE: {name: Ask the foreman}
profiles:
  press:
    connection: plc
    state: {model: run_fault, signals: {run: {node: "ns=2;s=Run"}}}
    stop_reason: {node: "ns=2;s=StopReason"}
```

{losses}""",
    ),
    (
        "factors",
        ("FactorOptions", "OwnFactor"),
        """\
What energy stands for. Standard coal needs no choice; the CO2 of electricity needs a grid, or a figure of the plant's
own. Electricity is valued in one way for the whole plant, because calorific and equivalent values must not be mixed in
a total. Compressed air and water are made with energy that the plant's meters count already, so they count as coal only
where they are bought in (`bought_media`); how much was used is counted in any case.

A figure holds from its date on; the first of its kind holds before that too. From its date on a plant's own figure
stands in place of all shipped ones of that carrier and kind, also of later ones.

```yaml
factors:
  grid: china_east
  bought_media: [water]
  own:
    - {carrier: electricity, since: 2026-01-01, kg_co2e: 0.21, source: "Supply contract 4711, annex 2"}
    - {carrier: gas, kgce: 1.2143, source: "Heat value of the supplier, 35.59 MJ/m³"}
```

{factors}""",
    ),
    (
        "profiles and machines",
        ("Profile", "TimeSource"),
        """\
A profile is what equal machines have in common; a machine may say all of it itself, and then comes first. `state` of a
machine replaces its profile's; `counts`, `media`, `measured`, `reasons` and cycle times are joined, entry by entry.""",
    ),
    ("lines", ("Line", "LineRuleOptions", "MachineOptions"), "A machine has all options of a profile, and these:"),
    (
        "signals",
        ("Held",),
        """\
Every signal says where its value comes from: `node` over OPC UA, `topic` and `path` over MQTT.""",
    ),
    (
        "state",
        ("StateOptions", "Rule", "StateSignal", "SwitchOptions"),
        """\
What a machine is doing follows from rules over named signals: the first that fits wins. A ready-made model brings its
own rules; yours come before them. A rule that asks for a signal which is not known just now cannot be judged, and the
state is unknown. A stop shorter than `minor_stop` is a minor stop, and a breakdown once it is longer, after the fact;
what counts is planned busy time, so a machine that starts a minute late after the break or the night has not failed.
A machine that says it does not work while a piece is handled between two cycles produces all the same: time between
two stretches of production in which it is `stopped`, and nothing else, for less than `cycle_gap` is part of the cycle.

```yaml
profiles:
  cnc:
    connection: plc
    state:
      model: machinery
      signals:
        item: {node: "ns=2;s={machine}.MachineryItemState.Number"}
        mode: {node: "ns=2;s={machine}.MachineryOperationMode.Number"}
        order: {node: "ns=2;s={machine}.OrderRegistered"}
      rules: [{when: {item: 2, mode: 2}, state: setup}]
    minor_stop: 5 min
  furnace:
    connection: plc
    state:
      model: power_threshold
      signals:
        running: {node: "ns=2;s={machine}.Current", scale: 0.1, switch: {on: 40, off: 30}}
  press:
    connection: plc
    state:
      model: stack_light
      signals:
        red: {node: "ns=2;s={machine}.Red"}
        green: {node: "ns=2;s={machine}.Green", map: {0: 0, 1: 1, 9: 2}}
      lamps: {green_blinking: setup}
  station:
    connection: floor
    topic: "plant/{line}/{machine}"
    state:
      signals: {status: {path: state}}
      rules:
        - {when: {status: [RUN, SLOW]}, state: producing}
        - {when: {status: FAULT}, state: breakdown}
        - {when: {}, state: stopped}
```

A lamp whose bit is the voltage of a blinking lamp goes on and off with it; read the controller's own word for it.
A `switch` makes a tag of its own: where the power is wanted as energy too, name its node again under `power`.""",
    ),
    (
        "counts",
        ("Counts", "CountSignal"),
        """\
Good, scrap and rework make the total; total and good give the scrap, total and scrap the good ones. The first reading
of all is where counting begins. How readings become pieces, and meter readings energy (each decision is counted, and
`edge-agent explain` shows it at its reading):

| Counted under | Reading | Counts |
|---|---|---|
| `counter_rollover` | over the end of the register (`rolls_over_at`) by less than a sixteenth of it | on over the end |
| `counter_fall` | less than half of the highest so far | nothing yet |
| `counter_excursion` | after a fall from 10 or more, at least nine tenths of that | on from there: the fall was none |
| `counter_reset` | after a fall, above the low reading | from 0 |
| `counter_rollover` | the same, within half a register over its end | on over the end |
| `counter_step_back` | below the highest so far, but not as low | nothing, until readings are above it |
| `counter_lowered` | after a step back, and counting on from there for 15 min | on from where it stepped back to |
| `counter_jump` | above what the machine can have made | nothing, and on from there |

So a register that is read as 0 for once, or for a while, counts nothing, and a reset counts with the second reading
after it. Two old readings that count on from each other, both below half the height, look like a reset and are counted,
but for what is a jump. A counter that is read so seldom that it leaps from 0 to its old height between two readings
looks like one that never was at 0: give it as events, or read it more often. A step back may be old readings that a
gateway sends again, a count that somebody corrected (what it counts once more until it is back was counted before), or
a counter that goes on with an earlier order; only the last one stays below its old height for long.
Without `fastest_cycle`, a rise is not believed where it is more than an hour's planned pieces above what twice the
planned speed gives in the time since the last reading; it is counted under `counter_jump`. A rise since a time in
which the connection was down or values were stale or bad counts where it is read, and is counted under
`counter_after_gap`. A counter that stands still through `stuck_after` of production is stuck: that is counted under
`counter_stuck`, production beyond it is the element `uncounted`, and the log and boards warn of effectiveness and OEE.

Two of good, scrap and total must be counted for a quality ratio and a scrap ratio, and rework for a rework ratio; else
they have no value. With the total alone OEE takes every piece as good, and says so. Scrap that is counted while the
machine is set up (trial pieces, warming up) is start-up loss.

A machine that sends one message a piece is told with `event: true`: the value `true` is one piece. Such a message needs
its own time (`time`), by which one that is delivered twice is known; two pieces at one time would be one.

```yaml
profiles:
  press:
    connection: plc
    counts:
      total: {node: "ns=2;s=Strokes", scale: 2, rolls_over_at: 131072, fastest_cycle: 400 ms}
      scrap: {node: "ns=2;s=Scrap", rolls_over_at: 65536}
  tester:
    connection: floor
    topic: "plant/{machine}/result"
    time: {path: ts, unit: ms}
    counts:
      good: {path: ok, event: true}
      scrap: {path: ok, event: true, scale: -1, offset: 1}
```""",
    ),
    (
        "energy, media, power",
        ("EnergySignal", "PowerSignal", "Media", "GasSignal", "SteamSignal", "WaterSignal", "HeatSignal"),
        """\
A meter's rise is spread over the time between its readings, so one every fifteen minutes will do; `correction_horizon`
of the agent must be longer than that time. Power is added up where there is no meter reading. The engine counts kWh,
and of the media what the table says.

```yaml
profiles:
  washer:
    connection: plc
    energy: {node: "ns=2;s=Meter.Energy", unit: Wh, rolls_over_at: 99999999, rated_power: 60 kW}
    media:
      gas: {node: "ns=2;s=Meter.Gas", unit: m³, rolls_over_at: 100000, rated_flow: 40 m³/h}
      steam: {node: "ns=2;s=Meter.Steam", unit: t}
      water: {node: "ns=2;s=Meter.Water", unit: L, rated_flow: 30 L/min}
```

{units}""",
    ),
    (
        "measured",
        ("MeasuredSignal", "Limits"),
        """\
Measured values are shown on boards. One with limits is a characteristic: each value counts as a measurement, of which
capability follows.

```yaml
profiles:
  lathe:
    connection: plc
    measured:
      spindle_temperature: {node: "ns=2;s=Spindle.Temperature", unit: °C}
      diameter: {node: "ns=2;s=Gauge.Diameter", unit: mm, limits: {lower: 24.98, upper: 25.02}}
      runout: {node: "ns=2;s=Gauge.Runout", unit: mm, limits: {upper: 0.02, nominal: 0}}
```""",
    ),
    (
        "kpis",
        ("OwnKpi",),
        """\
KPIs of the plant's own, over elements and other KPIs. [conformance.md](conformance.md) has those that there are.

```yaml
kpis:
  energy_per_good_piece:
    name: Energy per good piece
    formula: energy / gq
    unit: kWh
    better: down
  loss:
    name: What is missing to full OEE
    formula: 1 - oee
    better: down
    low: 0
    high: 1
```""",
    ),
    (
        "declared",
        ("DeclaredOptions",),
        """\
Figures that no signal gives, each over a period that is not split: it counts in windows that hold the whole period.

```yaml
declared:
  - {element: apwt, value: 480 h, period: 2026-10, note: time sheets of October}
  - {element: consumed, value: 12500, period: 2026-W41}
  - {element: inventory, value: 830, period: 2026-10-01/2026-10-15, note: count of the store}
```""",
    ),
)

_MODELS_HEAD: Final = """\
## State models

What the values of well-known interfaces mean. The first row that fits wins; a row with a signal that a machine does not
have is left out. `order` is what no machine knows: whether an order is registered, from the planning system or an
operator's switch. "Ours" marks rows that complete the source; own `rules` change any of it.
"""


def page() -> str:
    """The page."""
    schema = json_schema()
    tables = {"losses": _losses(), "factors": _factors(), "units": _units()}
    units = {"durations": _listed(DURATIONS), "sizes": _listed(SIZES)}
    writing = _table(("How to write", "As"), ((what, _filled(how, units)) for what, how in _WRITING))
    parts = [_filled(_HEAD, {"writing": writing})]
    headings = [*(heading for heading, *_ in _CHAPTERS), "State models"]
    parts += [f"- [{heading}](#{_anchor(heading)})" for heading in headings]
    for heading, models, text in _CHAPTERS:
        parts += ["", f"## {heading}", *([] if not text else ["", _filled(text, tables)])]
        parts += [part for model in models for part in _options(schema, model)]
    parts += ["", _MODELS_HEAD.rstrip(), *(_model(model) for model in READY_MODELS.values())]
    return "\n".join(parts).rstrip() + "\n"


def _filled(text: str, tables: Mapping[str, str]) -> str:
    for name, table in tables.items():
        text = text.replace(f"{{{name}}}", table)
    return text


def write() -> None:
    """Write the page beside this module."""
    PAGE.write_text(page(), encoding="utf-8")


# Options

_TITLES: Final = {
    "CalendarOptions": "calendar", "ShiftOptions": "shifts", "Break": "breaks", "PlannedStop": "planned_stops",
    "OpcUaConnection": "type: opcua", "Security": "security", "MqttConnection": "type: mqtt", "Tls": "tls",
    "FactorOptions": "factors", "OwnFactor": "own", "Profile": "profiles", "TimeSource": "time", "Line": "lines",
    "LineRuleOptions": "rule", "MachineOptions": "machines", "StateOptions": "state", "Rule": "rules",
    "StateSignal": "state.signals", "SwitchOptions": "switch", "Counts": "counts", "CountSignal": "counter",
    "EnergySignal": "energy", "PowerSignal": "power", "Media": "media", "GasSignal": "gas and compressed_air",
    "SteamSignal": "steam", "WaterSignal": "water", "HeatSignal": "heat", "MeasuredSignal": "measured value",
    "Limits": "limits", "Held": "signal", "PlantNames": "plant", "Agent": "agent", "Influx": "influx",
    "Product": "product", "ReasonOptions": "reason", "OwnKpi": "kpi", "DeclaredOptions": "declared figure",
}  # fmt: skip
"""Model → what people call the mapping."""

_OF_SIGNALS: Final = ("node", "topic", "path", "time", "connection", "sampling_interval", "raw", "stale_after")
"""Options that every signal has; they are told once, with `signals`."""


def _headed(model: str) -> bool:
    """Whether the options of a model stand under a heading of their own, not right under their chapter's."""
    heading, models = next((heading, models) for heading, models, _ in _CHAPTERS if model in models)
    return len(models) > 1 and _TITLES[model] != heading


def _link(model: str) -> str:
    title = _TITLES[model]
    heading = title if _headed(model) else next(heading for heading, models, _ in _CHAPTERS if model in models)
    return f"[{title}](#{_anchor(heading)})"


def _options(schema: Mapping[str, Any], model: str) -> Iterator[str]:
    of = schema["$defs"][model] if model else schema
    shown = dict(of["properties"])
    if model == "MachineOptions":
        shown = {name: option for name, option in shown.items() if name not in schema["$defs"]["Profile"]["properties"]}
    common = [name for name in _OF_SIGNALS if name in shown] if model.endswith("Signal") else []
    for name in common:
        del shown[name]
    yield ""
    if model and _headed(model):
        yield f"### {_TITLES[model]}"
        yield ""
        yield f"{of['description']}{' Has the options of every signal, and these.' if common else ''}"
        yield ""
    yield "| Option | Takes | Default | What it is |"
    yield "|---|---|---|---|"
    for name, option in shown.items():
        default = "**needed**" if name in of.get("required", ()) else _default(option)
        described = option.get("description") or schema["$defs"][option["$ref"].rpartition("/")[2]]["description"]
        yield f"| `{name}` | {_takes(option)} | {default} | {_cell(described)} |"


def _default(option: Mapping[str, Any]) -> str:
    value = option.get("default")
    if value is None or value in ("", [], {}) or isinstance(value, dict):
        return "–"
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value, ensure_ascii=False)}`"


_BY_EXAMPLE: Final = {
    "500 ms": "duration", "0 s": "duration", "1 GB": "size", "06:00": "time of day", "14:00": "time of day",
    "2026-10-01": "date", "2026-08-03 06:00": "date and time", "60 s": "duration or `never`",
}  # fmt: skip
_BY_TYPE: Final = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true`, `false`"}


def _takes(kind: Mapping[str, Any]) -> str:
    """What a value may be, in words."""
    either = kind.get("anyOf") or kind.get("oneOf")
    if either:
        kinds = [one for one in either if one.get("type") != "null" and one.get("pattern") != r"\$\{"]
        made = " or ".join(dict.fromkeys(_takes(one) for one in kinds))
    elif "$ref" in kind:
        made = _link(kind["$ref"].rpartition("/")[2])
    elif "enum" in kind or "const" in kind:
        made = _listed(kind.get("enum") or [kind["const"]])
    elif kind.get("type") == "array":
        made = "list of " + _takes(kind["items"])
    elif kind.get("type") == "object":
        key = "date" if kind.get("propertyNames", {}).get("format") == "date" else "name"
        made = f"{key} → {_takes(kind['additionalProperties'])}"
    elif kind.get("examples"):
        made = _BY_EXAMPLE.get(kind["examples"][0], f"as `{kind['examples'][0]}`")
    else:
        given = kind.get("type", "string")
        made = " or ".join(_BY_TYPE[one] for one in ([given] if isinstance(given, str) else given))
    return _cell(made)


# Tables


def _losses() -> str:
    rows = ((f"`{loss}`", f"`{state.name.lower()}`", _ELEMENT[state.name]) for loss, state in LOSSES.items())
    return _table(("Loss", "State", "Counts as"), rows)


_ELEMENT: Final = {
    "BREAKDOWN": "delay (ADET), a failure",
    "STOPPED": "delay (ADET), a minor stop",
    "STARVED": "delay (ADET)",
    "BLOCKED": "delay (ADET)",
    "SETUP": "setup (AUST)",
    "MAINTENANCE": "corrective maintenance (CMT)",
    "IDLE": "down time (ADOT): no order",
    "OFF": "down time (ADOT)",
    "PLANNED_MAINTENANCE": "planned maintenance (PMT): not planned busy time",
    "PLANNED_STOP": "planned downtime: not planned busy time",
}
"""As `kpi.fold` has it; the names of elements are those of ISO 22400-2."""


def _factors() -> str:
    def rows(quantity: str, figures: Iterable[Figure]) -> Iterator[tuple[str, ...]]:
        for one in figures:
            which = " ".join(f"`{part}`" for part in (one.carrier, one.kind, one.grid) if part)
            bought = " (bought in)" if one.carrier in BOUGHT else ""
            since = "" if one.since is None else one.since.isoformat()
            seen = "yes" if one.verified else "**no**"
            yield (
                which + bought,
                f"{one.value:g} {quantity}",
                since,
                one.source + (f". {one.note}" if one.note else ""),
                seen,
            )

    both = [*rows("kgce", shipped().kgce), *rows("kg CO2e", shipped().kg_co2e)]
    head = (
        "Of one kWh, m³, kg of steam, t of water, MJ",
        "Stands for",
        "Since",
        "Source",
        "Seen in a text that cites it",
    )
    return _table(head, both)


def _units() -> str:
    rows = [("electricity", _listed(ENERGY), "`kWh`"), ("power", _listed(POWER), "`kW`")]
    rows += [
        (f"`{carrier}`", _listed(units), f"`{next(unit for unit, worth in units.items() if worth == 1.0)}`")
        for carrier, units in MEDIA.items()
    ]
    return _table(("Of", "Units that are read", "Counted in"), rows)


def _model(model: ReadyModel) -> str:
    signals = [(f"`{name}`", meaning, "needed") for name, meaning in model.required.items()]
    rest = "one of the lamps is needed" if model.one_of else ""
    signals += [
        (f"`{name}`", meaning, rest if name in model.one_of else "") for name, meaning in model.optional.items()
    ]
    parts = [f"\n### {model.name}", f"Source: {model.source}.", _table(("Signal", "What it is", ""), signals)]
    if model.one_of:
        rows = [(f"`{lamp}`", f"`{state.name.lower()}`", why) for lamp, (state, why) in USUAL.items()]
        parts += [
            "Of several lit lamps the first of this order counts: "
            + _listed(model.one_of[:-1])
            + ". A blinking lamp means "
            "what it means when lit, unless `lamps` gives `…_blinking` a meaning of its own.",
            _table(("Lamp", "State", "Why"), rows),
        ]
    else:
        parts.append(_table((*(f"`{name}`" for name in _columns(model)), "State", "Why"), _rows(model)))
    parts += [_last_sent(name, when) for name, when in model.last_sent.items()]
    if model.crossed:
        parts += ["So each combination means:", _crossed(model)]
    return "\n\n".join(parts)


def _last_sent(name: str, when: Mapping[str, tuple[int | str, ...]]) -> str:
    others = " and ".join(f"`{other}` is {' or '.join(map(str, values))}" for other, values in when.items())
    return (
        f"While {others}, `{name}` counts as it was last sent: its last good value holds, also if it is bad by now, "
        "older than `stale_after`, or of a connection that is down."
    )


def _crossed(model: ReadyModel) -> str:
    """A row for each combination of the crossed signals, with a state by order."""
    orders: dict[str, dict[str, int]] = {"`order` 1": {"order": 1}, "`order` 0": {"order": 0}, "No `order`": {}}
    rows = []
    for combination in product(*(enumerate(names) for names in model.crossed.values())):
        said = {name: value for name, (value, _) in zip(model.crossed, combination, strict=True)}
        states = (_first(model, {**said, **order}) for order in orders.values())
        rows.append((*(f"{value} {called}" for value, called in combination), *states))
    return _table((*(f"`{name}`" for name in model.crossed), *orders), rows)


def _first(model: ReadyModel, said: Mapping[str, int]) -> str:
    rules = model.rules_for(frozenset(said), {})
    return next(f"`{r.state.name.lower()}`" for r in rules if all(said[name] in r.when[name] for name in r.when))


def _columns(model: ReadyModel) -> list[str]:
    used = {name for rule in model.rules for name in rule.when}
    return [name for name in (*model.required, *model.optional) if name in used]


def _rows(model: ReadyModel) -> Iterator[tuple[str, ...]]:
    for rule in model.rules:
        yield (*(_values(rule, name) for name in _columns(model)), f"`{rule.state.name.lower()}`", rule.why)


def _values(rule: ReadyRule, name: str) -> str:
    return ", ".join(str(value) for value in rule.when.get(name, ()))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _anchor(heading: str) -> str:
    """The fragment that Markdown viewers make of a heading."""
    kept = "".join(letter for letter in heading.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")


if __name__ == "__main__":
    write()
