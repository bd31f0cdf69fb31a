"""Rows that are not final yet while the past is folded again: held back until nothing that follows can change them.

Rule: every row is said once. A row that were said, and said otherwise a block later, would be two revisions of a figure
where there is one. Only what waits for too long is said before it is final, and once more when it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from kpi.columns import Int64
from kpi.decisions import in_place_of
from kpi.elements import MINUTE_NS

if TYPE_CHECKING:
    from kpi.engine import Update


class Unsaid:
    """What was folded and is not final."""

    def __init__(self) -> None:
        self._held: Update | None = None
        self._said: Int64 | None = None

    def final(self, update: Update, settled: Int64, judged: Int64, *, late: bool = False) -> Update:
        """The update with what was held, of each machine up to the minute that its settled time (ns) lies in.

        Settled times only grow. judged: ns, by machine; from there on what is settled was said for want of patience.
        late: samples came late meanwhile, so the update may change what was said.
        """
        settled, judged = settled - settled % MINUTE_NS, judged - judged % MINUTE_NS
        said = np.zeros_like(settled) if self._said is None or late else self._said
        self._said = np.minimum(settled, judged)
        until = pl.DataFrame({"settled": settled, "said": said}).with_row_index("machine").cast({"machine": pl.Int32})
        held = self._held
        final: list[pl.DataFrame] = []
        unsaid: list[pl.DataFrame] = []
        for table, time in (("elements", "time"), ("intervals", "start"), ("measured", "time"), ("decided", "time")):
            fresh: pl.DataFrame = getattr(update, table)
            if held is None:
                rows = fresh
            else:  # decisions are what a minute may have had, and has no more
                folded = update.elements if table == "decided" else fresh
                rows = in_place_of(getattr(held, table), folded, fresh, time)
            rows = rows.join(until, on="machine", how="left", maintain_order="left")
            is_final = pl.col(time) < pl.col("settled")
            # a block is folded whole, also for a stop that began in its middle: what was final comes again, as it was
            final.append(rows.filter(is_final, pl.col(time) >= pl.col("said")).drop("settled", "said"))
            unsaid.append(rows.filter(~is_final).drop("settled", "said"))
        elements, intervals, measured, decided = unsaid
        self._held = replace(update, elements=elements, intervals=intervals, measured=measured, decided=decided)
        elements, intervals, measured, decided = final
        return replace(update, elements=elements, intervals=intervals, measured=measured, decided=decided)
