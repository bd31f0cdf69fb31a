"""KPIs against worked cases of the literature and constructed ones, to the precision that they print."""

from __future__ import annotations

from typing import Any

import pytest

from kpi.formulas import ISO_KPIS, KPI_IDS
from tests.kpi.worked_cases import Answer, Printed, answers_of, cases, kpis_of


def fault(kpi: str, expected: Any, answer: Answer) -> str | None:
    """What is wrong with an answer, None where nothing is."""
    value = answer.values[kpi]
    if isinstance(expected, dict):
        wrong = value is not None or answer.reasons[kpi] != expected["none"]
        return (
            f"{kpi}: {value}, since {answer.reasons[kpi]!r}; expected none, since {expected['none']!r}"
            if wrong
            else None
        )
    return None if Printed(expected).matches(value) else f"{kpi}: {value}, expected {expected}"


@pytest.mark.parametrize("case", cases())
def test_a_worked_case_comes_out_as_printed(case: str) -> None:
    for what, expected, answer in answers_of(case):
        faults = [fault(kpi, value, answer) for kpi, value in expected.items()]
        assert not list(filter(None, faults)), f"{what}: {list(filter(None, faults))}"


@pytest.mark.parametrize("case", cases())
def test_only_what_cannot_be_is_warned_of(case: str) -> None:
    given = cases()[case]
    warned = {kpi for _, _, answer in answers_of(case) for kpi, words in answer.warnings.items() if words}
    assert warned >= set(given.get("warns", ()))
    assert bool(warned) == bool(given.get("warns"))


def test_every_case_says_where_it_is_from() -> None:
    assert all(case["source"] for case in cases().values())


def test_every_kpi_of_the_standard_and_of_the_table_has_a_case() -> None:
    tested = {kpi for case in cases().values() for kpi in kpis_of(case)}
    assert {kpi.id for kpi in ISO_KPIS} | set(KPI_IDS) <= tested


@pytest.mark.parametrize("case", [id_ for id_, case in cases().items() if "others" in case])
def test_where_another_implementation_answers_otherwise_the_case_says_why(case: str) -> None:
    given = cases()[case]
    ours = answers_of(case)[0][2].values
    differs = any(
        "raises" in answer or any(abs((ours[kpi] or 0.0) - value) > 2e-6 for kpi, value in answer.items())
        for answer in given["others"].values()
    )
    assert differs == bool(given.get("differs"))


def test_a_printed_value_is_what_rounds_to_it() -> None:
    assert Printed("88.81 %").matches(0.888095)
    assert not Printed("88.81 %").matches(0.88804)
    assert Printed("1666.7").matches(10_000 / 6)
    assert not Printed("0 %").matches(None)
