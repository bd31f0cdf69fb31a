"""History from files: Parquet and CSV of historians and spreadsheets, as samples of the plant in the order of time.

Not a live connection: it is read to its end at full speed, in a stretch at a time, by `edge_agent.replay`.
"""

from connectors.replay.clock_steps import ClockStep
from connectors.replay.coverage import QUARTER_NS, Presence, Run, united
from connectors.replay.faults import SET_ASIDE, HistoryFault, Tally
from connectors.replay.history import Contents, FileNote, History
from connectors.replay.settings import HistoryError, HistoryTags, ReplaySettings, Role

__all__ = [
    "QUARTER_NS",
    "SET_ASIDE",
    "ClockStep",
    "Contents",
    "FileNote",
    "History",
    "HistoryError",
    "HistoryFault",
    "HistoryTags",
    "Presence",
    "ReplaySettings",
    "Role",
    "Run",
    "Tally",
    "united",
]
