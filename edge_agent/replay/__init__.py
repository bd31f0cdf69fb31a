"""History from files, through the engine, into the journal and the database: `edge-agent replay`."""

from edge_agent.replay.run import (
    DEFAULT_GAP_NS,
    DatabaseNotTakingError,
    NothingToReplayError,
    Progress,
    ReplayOptions,
    replay,
)
from edge_agent.replay.summary import ReplaySummary

__all__ = [
    "DEFAULT_GAP_NS",
    "DatabaseNotTakingError",
    "NothingToReplayError",
    "Progress",
    "ReplayOptions",
    "ReplaySummary",
    "replay",
]
