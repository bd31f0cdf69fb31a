"""The journal: one SQLite file that makes the agent safe to kill.

`Journal` is the agent's side, `JournalReader` is for everybody else; the forwarder works on the outbox in between.
"""

from edge_agent.journal.beyond_horizon import BEYOND_HORIZON_SCHEMA, BeyondFacts, BeyondHorizon, TagFacts
from edge_agent.journal.decisions import DECISION_SCHEMA, Decided, DecisionCount
from edge_agent.journal.element_tables import STATISTICS, Window
from edge_agent.journal.engine_blocks import ArchiveFacts
from edge_agent.journal.model import (
    CAUSES,
    DROP_ORDER,
    OPEN,
    JournalError,
    JournalWriteError,
    OutboxEntry,
    OutboxKind,
    Recovery,
    RevisionCause,
    Tick,
)
from edge_agent.journal.outbox import DeadLetter, Depth
from edge_agent.journal.reader import ELEMENT_SCHEMA, INTERVAL_SCHEMA, MEASURED_SCHEMA, JournalReader
from edge_agent.journal.strands import BlockFacts, StrandBlock, StrandTick
from edge_agent.journal.writer import Journal

__all__ = [
    "BEYOND_HORIZON_SCHEMA",
    "CAUSES",
    "DECISION_SCHEMA",
    "DROP_ORDER",
    "ELEMENT_SCHEMA",
    "INTERVAL_SCHEMA",
    "MEASURED_SCHEMA",
    "OPEN",
    "STATISTICS",
    "ArchiveFacts",
    "BeyondFacts",
    "BeyondHorizon",
    "BlockFacts",
    "DeadLetter",
    "Decided",
    "DecisionCount",
    "Depth",
    "Journal",
    "JournalError",
    "JournalReader",
    "JournalWriteError",
    "OutboxEntry",
    "OutboxKind",
    "Recovery",
    "RevisionCause",
    "StrandBlock",
    "StrandTick",
    "TagFacts",
    "Tick",
    "Window",
]
