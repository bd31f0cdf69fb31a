"""One number's pedigree: formula, sums, and what went into them, down to the readings; see `docs/explain.md`.

`window` says which time is asked about, `evidence` what the journal still holds of it, `facts` and `words` put it into
JSON, `question` answers, `tables` shows the answer on a terminal.
"""

from edge_agent.explain.question import Question, UnanswerableError, explain
from edge_agent.explain.tables import shown

__all__ = ["Question", "UnanswerableError", "explain", "shown"]
