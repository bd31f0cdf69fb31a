"""The options of the one YAML file: pydantic models, one class a kind of mapping.

Rule 1: every option has a sentence that says what it is; the JSON Schema and so the editors show it.
Rule 2: what can be judged by looking at one value alone is judged here; what needs two is the compiler's.
Rule 3: unknown options are faults, options are nouns, and each has one form.
Imports: standard library, pydantic, config, and kpi.plant for the names of states and quantities.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Discriminator, Field, PrivateAttr, SecretStr

from config.addresses import endpoint_fault, filter_fault, url_fault
from config.calendar_options import CalendarOptions
from config.document import Document
from config.errors import Path, did_you_mean
from config.factor_options import FactorOptions
from config.kpi_options import DeclaredOptions, KpiId, LineRuleOptions, OwnKpi
from config.options import (
    Identifier,
    Options,
    PlaceholderName,
    PlaceholderValue,
    Port,
    RuleValues,
    Title,
    Topic,
    checked,
    choice,
)
from config.quantities import Duration, DurationOrZero, Flag, Size, StaleAfter, StuckAfter, Whole, fault, ns, size
from config.reasons import LOSSES
from config.signal_options import (
    Counts,
    EnergySignal,
    Held,
    MeasuredSignal,
    Media,
    PowerSignal,
    StateSignal,
    TimeSource,
)
from config.stack_light import LAMPS
from config.state_models import READY_MODELS
from kpi.formulas import FailureDenominator
from kpi.plant import State

STATES = tuple(state.name.lower() for state in State)
POLICIES = ("Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss")
MODES = ("SignAndEncrypt", "Sign")
FAILURE_DENOMINATORS = tuple(kind.value for kind in FailureDenominator)
MQTT_VERSIONS = ("auto", "5.0", "3.1.1")

Rows = tuple[tuple[int, tuple[int, ...]], ...]
"""Index of each line in the file, and the indexes of its machines."""


def _time_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (OSError, ValueError, KeyError):  # not found is a KeyError; the name of a folder is an OSError
        hint = did_you_mean(text, sorted(available_timezones())) or "; write it as in `Europe/Berlin`"
        raise fault(f"unknown time zone{hint}") from None
    return text


class PlantNames(Options):
    """Who and where the plant is (ISA-95)."""

    site: Title = Field(description="Name of the site; the tag `site` of all points.")
    time_zone: Annotated[str, AfterValidator(_time_zone)] = Field(
        description="IANA name of the time zone in which shifts and days are cut, as in `Asia/Shanghai`."
    )
    enterprise: Title | None = Field(None, description="Name of the enterprise that the site belongs to.")
    failure_denominator: Annotated[str, *choice("a denominator", *FAILURE_DENOMINATORS)] = Field(
        FAILURE_DENOMINATORS[0],
        description="What mean times to, between and of failures are divided by; `failures_plus_one` depends on how "
        "windows are cut.",
    )


class Agent(Options):
    """How the agent itself works."""

    journal: str = Field(
        "edge-agent.journal", min_length=1, description="File of the journal, relative to the working directory."
    )
    tick: Duration = Field(ns("500 ms"), description="Time between two commits.")
    close_after: DurationOrZero = Field(
        ns("5 s"), description="How long after its end a minute is closed; later samples reopen it."
    )
    correction_horizon: Duration = Field(
        ns("7 d"),
        description="How late a sample may be and still correct what was said; samples are kept for it in the journal.",
    )
    future_tolerance: DurationOrZero = Field(
        ns("1 min"), description="How far ahead of the agent's clock a timestamp may be; later ones are set aside."
    )
    journal_size: Size = Field(
        size("2 GB"),
        description="Most that the journal may take on disk; beyond it samples that came too late go first, then those "
        "kept for corrections, then raw samples, KPIs last.",
    )
    keep_minutes: Duration = Field(ns("35 d"), description="How long minute elements are kept in the journal.")
    keep_hours: Duration = Field(ns("3660 d"), description="How long hour elements are kept in the journal.")
    raw: Flag = Field(True, description="Whether raw samples go to InfluxDB too.")


class Influx(Options):
    """The InfluxDB that points go to; without it everything stays in the journal."""

    url: Annotated[str, checked(url_fault)] = Field(description="Address, up to but not including `/api`.")
    bucket: str = Field(min_length=1, description="Bucket; for InfluxDB 1.x `database/retention_policy`.")
    org: str = Field("", description="Organisation; empty for InfluxDB 1.x.")
    token: SecretStr = Field(
        SecretStr(""), description="API token, from `${ENV}` or `${file:…}`; for InfluxDB 1.x `user:password`."
    )
    timeout: Duration = Field(ns("10 s"), description="How long one write may take.")
    verify_tls: Flag = Field(True, description="Whether the server's certificate is checked.")
    overwrites: Flag = Field(
        True,
        description="Whether a point replaces the one of its series and time. VictoriaMetrics keeps both; with `false` "
        "nothing is sent of minutes, hours, shifts and days that are not over.",
    )


class Login(Options):
    """Parts that every connection has."""

    username: str | None = Field(None, description="User name; anonymous where left out.")
    password: SecretStr | None = Field(None, description="Password, from `${ENV}` or `${file:…}`.")
    link_holds: Duration = Field(
        ns("30 s"), description="How long after its last sign of life the connection still counts as up."
    )
    backoff_first: Duration = Field(ns("500 ms"), description="Wait before the first attempt to reconnect.")
    backoff_most: Duration = Field(ns("30 s"), description="Longest wait between two attempts to reconnect.")
    retry_set_aside: Duration = Field(
        ns("1 min"), description="Time between two attempts to collect what the server or broker refused."
    )
    buffered_samples: Annotated[Whole, Field(ge=1_000, le=50_000_000)] = Field(
        500_000, description="Most samples that wait for the next commit; beyond it the sender is held back."
    )


class Security(Options):
    """Signing and encryption of an OPC UA connection."""

    policy: Annotated[str, *choice("a security policy", *POLICIES)] = Field(description="Security policy.")
    mode: Annotated[str, *choice("a security mode", *MODES)] = Field(
        "SignAndEncrypt", description="Message security mode."
    )
    certificate: str = Field(min_length=1, description="File of the agent's own certificate.")
    private_key: str = Field(min_length=1, description="File of the agent's own private key.")
    server_certificate: str | None = Field(None, description="File of the server's certificate, which is then pinned.")


class OpcUaConnection(Login):
    """An OPC UA server."""

    type: Literal["opcua"] = Field(description="Kind of connection.")
    endpoint: Annotated[str, checked(endpoint_fault)] = Field(description="Address of the server.")
    publishing_interval: Duration = Field(ns("500 ms"), description="How often the server reports changes.")
    sampling_interval: DurationOrZero = Field(
        ns("0 s"), description="How often the server looks at a value; `0 s` = at every change that it sees."
    )
    queue_size: Annotated[Whole, Field(ge=1, le=100_000)] = Field(
        100, description="Values of one signal that the server holds between two reports."
    )
    session_timeout: Duration = Field(ns("1 min"), description="How long the server keeps a silent session.")
    request_timeout: Duration = Field(ns("5 s"), description="How long one request may take.")
    security: Security | None = Field(None, description="Signing and encryption; none where left out.")


class Tls(Options):
    """TLS of an MQTT connection; an empty mapping uses the certificates of the system."""

    ca_certificate: str | None = Field(None, description="File of the certificate authority.")
    client_certificate: str | None = Field(None, description="File of the agent's own certificate.")
    client_key: str | None = Field(None, description="File of the agent's own private key.")


class MqttConnection(Login):
    """An MQTT broker."""

    type: Literal["mqtt"] = Field(description="Kind of connection.")
    host: str = Field(min_length=1, pattern=r"^[^\s/@]+$", description="Host name or IP address of the broker.")
    port: Port | None = Field(None, description="TCP port; 1883, or 8883 with TLS, where left out.")
    subscribe: list[Annotated[str, checked(filter_fault)]] | None = Field(
        None, description="Topic filters, which cover every signal's topic; the topics themselves where left out."
    )
    client_id: str | None = Field(
        None, description="Client identifier; made of site and connection where left out. Two agents need two."
    )
    version: Annotated[str, *choice("a version of MQTT in quotes", *MQTT_VERSIONS)] = Field(
        "auto", description="Version of MQTT; `auto` is 5.0, and 3.1.1 where the broker refuses that."
    )
    tls: Tls | None = Field(None, description="TLS; plain TCP where left out.")
    keep_alive: Duration = Field(ns("15 s"), description="Longest silence towards the broker.")
    session_expiry: DurationOrZero = Field(
        ns("1 d"), description="How long the broker keeps messages for an agent that is away."
    )
    largest_payload: Size = Field(size("1 MB"), description="Largest message that is read; larger ones are counted.")


Connection = Annotated[OpcUaConnection | MqttConnection, Discriminator("type")]


class ReasonOptions(Options):
    """Why a machine stands. A reason that says neither `loss` nor `planned` leaves the stop what its signals say."""

    name: Title | None = Field(None, description="Name for people; the key where left out.")
    group: list[Title] = Field(
        [], description="Path in the tree of reasons, from the root, as in `[Technical, Spindle]`."
    )
    loss: Annotated[str, *choice("a loss", *LOSSES)] | None = Field(
        None, description="What a stop with this reason counts as, whatever its signals and its length say."
    )
    planned: Flag | None = Field(
        None,
        description="Whether planning wanted it; as the loss says where left out. Alone, `true` is a `planned_stop`.",
    )


class Product(Options):
    """One kind of piece; its key is the product as the machines name it."""

    ideal_cycle_time: Duration | None = Field(
        None, description="Planned run time per item (PRI): time per piece at full speed."
    )


class Rule(Options):
    """When every named signal has one of its values, the machine is in this state. The first rule that fits wins."""

    when: dict[str, RuleValues] = Field(description="Signal → value or list of values; empty fits always.")
    state: Annotated[str, *choice("a state", *STATES)] = Field(description="What the machine is doing then.")


class StateOptions(Options):
    """How the machine says what it is doing."""

    model: Annotated[str, *choice("a state model", *READY_MODELS)] | None = Field(
        None, description="Ready-made rules for signals of known meaning; own rules come before them."
    )
    signals: Annotated[dict[Identifier, StateSignal], Field(min_length=1)] = Field(
        description="Name → signal; a model says which names it knows."
    )
    rules: list[Rule] = Field([], description="Own rules, in order.")
    lamps: dict[
        Annotated[str, *choice("a lamp", *LAMPS)],
        Annotated[str, *choice("a state", *STATES)],
    ] = Field({}, description="Model `stack_light`: lamp → what it means, where that is not the usual.")
    handling_in_cycle: Flag = Field(
        False,
        description="Model `mtconnect`: whether ideal cycle times include that parts are loaded and unloaded. Waiting "
        "for it, as `wait_state` tells, is then production; else it is a delay.",
    )


class Equipment(Options):
    """What is said of a machine, by its profile or by itself; what the machine says comes first."""

    connection: str | None = Field(None, description="Connection of the signals that name none.")
    topic: Topic | None = Field(None, description="MQTT: topic of the signals that name none.")
    time: TimeSource | None = Field(None, description="MQTT: where messages say when their values were taken.")
    stale_after: StaleAfter | None = Field(
        None,
        description="How long state and power hold without a new value, or `never`; where left out, 60 s for states "
        "over MQTT, otherwise for as long as the connection is up.",
    )
    state: StateOptions | None = Field(
        None, description="How it says what it is doing; a machine's replaces its profile's."
    )
    counts: Counts | None = Field(None, description="Counters of pieces; a machine's add to its profile's.")
    product: Held | None = Field(None, description="The product being made, as a key of `products`.")
    stop_reason: Held | None = Field(
        None, description="Why it stands, as a key of `reasons`; kept, and shown on boards."
    )
    stop_reason_holds: Annotated[str, *choice("what ends a reason", "until_changed", "stop")] | None = Field(
        None,
        description="How long a reason is one: `until_changed` (where left out), also for later stops; or `stop`, for "
        "the stop in which it is given alone, and for all of that.",
    )
    reasons: dict[str, ReasonOptions] | None = Field(
        None, description="Reason, as the machine sends it → what it means; before its profile's and the plant's."
    )
    energy: EnergySignal | None = Field(None, description="Meter reading; comes before `power`.")
    media: Media | None = Field(None, description="Meters of other energy carriers; a machine's add to its profile's.")
    power: PowerSignal | None = Field(None, description="Power, added up to energy where there is no meter reading.")
    longest_power_gap: Duration | None = Field(
        None,
        description="How long a value of power holds at most; of the rest of the time until the next one nothing is "
        "added up, and it is counted under `power_hole`. 5 min where left out, too short for power that is read every "
        "15 min.",
    )
    measured: dict[Identifier, MeasuredSignal] | None = Field(
        None, description="Name → measured value; a machine's add to its profile's."
    )
    ideal_cycle_time: dict[str, Duration] | None = Field(
        None, description="Product → time per piece at full speed on this equipment; comes before the product's own."
    )
    minor_stop: Duration | None = Field(
        None,
        description="A stop that costs less planned busy time than this is a minor stop, any other a breakdown; left "
        "out: as the rules say.",
    )
    cycle_gap: Duration | None = Field(
        None,
        description="A stop within production that is shorter than this is part of the cycle, and production: the time "
        "between two pieces in which the machine says that it does not work; left out: none is.",
    )
    stuck_after: StuckAfter | None = Field(
        None,
        description="Production time without a rise of a piece counter after which it is stuck, 1 min or more, or "
        "`never`; 20 min, or 20 of the longest ideal cycle times if that is more, where left out.",
    )
    default_ideal_cycle_time: Duration | None = Field(
        None, description="Time per piece at full speed where the product is not known or has none."
    )


class Profile(Equipment):
    """What equal machines have in common; its texts may hold placeholders such as `{machine}`."""


class MachineOptions(Equipment):
    """One machine (ISA-95 work unit)."""

    id: Identifier = Field(description="Unique name; the tag `machine` of its points.")
    name: Title | None = Field(None, description="Name for people; the id where left out.")
    profile: str | None = Field(None, description="Profile that it follows.")
    calendar: CalendarOptions | None = Field(
        None, description="The machine's own calendar; the line's where left out, and in all that it does not say."
    )
    values: dict[
        PlaceholderName,
        PlaceholderValue,
    ] = Field({}, alias="with", description="Placeholder → this machine's value of it.")


class Line(Options):
    """One line (ISA-95 work centre)."""

    name: Title = Field(description="Name of the line; the tag `line` of its points.")
    area: Title | None = Field(None, description="Area that the line belongs to.")
    calendar: CalendarOptions | None = Field(
        None, description="The line's own calendar; the plant's where left out, and in all that it does not say."
    )
    rule: LineRuleOptions | None = Field(
        None, description="What the line's figures mean; the sum of its machines where left out."
    )
    machines: Annotated[list[MachineOptions], Field(min_length=1)] = Field(description="Machines, in the line's order.")


class PlantConfig(Options):
    """Configuration of edge-agent: one plant, what it collects and when work is planned."""

    plant: PlantNames = Field(description="Who and where the plant is.")
    agent: Agent = Field(Agent.model_construct(), description="How the agent itself works.")
    influx: Influx | None = Field(None, description="The InfluxDB that points go to; only the journal where left out.")
    calendar: CalendarOptions | None = Field(None, description="When work is planned; around the clock where left out.")
    connections: dict[Identifier, Connection] = Field({}, description="Name → server or broker.")
    products: dict[Title, Product] = Field({}, description="Product, as the machines name it → what is known of it.")
    reasons: dict[str, ReasonOptions] = Field(
        {}, description="Stop reason, as the machines send it → what it means; the plant's tree of reasons."
    )
    factors: FactorOptions = Field(
        FactorOptions.model_construct(), description="What energy stands for: standard coal and CO2 equivalent."
    )
    profiles: dict[Identifier, Profile] = Field({}, description="Name → what equal machines have in common.")
    lines: Annotated[list[Line], Field(min_length=1)] = Field(description="Lines of the plant.")
    kpis: dict[KpiId, OwnKpi] = Field({}, description="Id → KPI of the plant's own, beside those of the table.")
    declared: list[DeclaredOptions] = Field([], description="Figures that no signal gives, over periods.")

    _document: Document = PrivateAttr(default_factory=lambda: Document("configuration"))
    _rows: Rows | None = PrivateAttr(None)

    @property
    def document(self) -> Document:
        """The file it was read from; without positions where it was made by a program."""
        return self._document

    def read_from(self, document: Document) -> PlantConfig:
        """The same configuration, knowing where it was read."""
        self._document = document
        return self

    def keep_rows(self, rows: Rows) -> None:
        """Remember where lines and machines stand in the file when some of them were taken out."""
        self._rows = rows

    def names_in(self, room: str) -> list[str]:
        """Names of all connections, products or profiles in the file, those with faults included."""
        given = self._document.get((room,))
        return list(given if isinstance(given, dict) else getattr(self, room))

    def machines(self) -> Iterator[tuple[Path, Line, MachineOptions]]:
        """All machines in order: path in the file, line, machine."""
        for (path, line), (_, columns) in zip(self.placed_lines(), self._places(), strict=True):
            for machine, column in zip(line.machines, columns, strict=True):
                yield (*path, "machines", column), line, machine

    def placed_lines(self) -> Iterator[tuple[Path, Line]]:
        """All lines in order: path in the file, line."""
        for line, (row, _) in zip(self.lines, self._places(), strict=True):
            yield ("lines", row), line

    def _places(self) -> Rows:
        everything = tuple((row, tuple(range(len(line.machines)))) for row, line in enumerate(self.lines))
        return everything if self._rows is None else self._rows
