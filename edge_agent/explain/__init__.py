"""One number's pedigree: formula, sums, and what went into them, down to the readings; see `docs/explain.md`.

`subject` and `window` say what is asked about, `evidence` what the journal still holds of it, `facts` and `words` put
it into JSON; `question` answers of KPIs over elements, `capability` of those over measured values; `tables` and
`capability_tables` show the answer on a terminal.
"""

from edge_agent.explain.question import explain
from edge_agent.explain.subject import Question, UnanswerableError
from edge_agent.explain.tables import shown

__all__ = ["Question", "UnanswerableError", "explain", "shown"]
