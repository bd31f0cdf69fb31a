"""The page on conformance says what the code does."""

from __future__ import annotations

from docs.conformance import PAGE, page
from kpi.formulas import ISO_KPIS
from tests.kpi.worked_cases import cases_by_kpi


def test_the_page_is_what_its_generator_writes() -> None:
    """If this fails, read what changed and run `python -m docs.conformance`."""
    assert PAGE.read_text(encoding="utf-8") == page(cases_by_kpi())


def test_the_standard_has_34_kpis_in_its_order() -> None:
    assert [kpi.number for kpi in ISO_KPIS] == list(range(1, 35))
