"""Texts as numbers."""

from __future__ import annotations

import pytest

from connectors import TextCodes, TooManyTextsError


def test_a_text_keeps_its_code() -> None:
    codes = TextCodes()
    run, stop = codes.code("RUN"), codes.code("STOP")
    assert (codes.code("RUN"), codes.code("STOP")) == (run, stop)
    assert codes.texts([stop, run]) == ["STOP", "RUN"]


def test_codes_go_on_where_the_journal_left_off() -> None:
    """A restart hands in what is known, also with holes; no code is given out twice."""
    codes = TextCodes({"RUN": 0, "STOP": 7})
    assert codes.code("RUN") == 0
    assert codes.code("SETUP") == 8
    assert codes.take_fresh() == {"SETUP": 8}


def test_fresh_texts_are_handed_over_once() -> None:
    codes = TextCodes()
    codes.code("RUN")
    assert codes.take_fresh() == {"RUN": 0}
    codes.code("RUN")
    assert codes.take_fresh() == {}


def test_a_tag_that_sends_serial_numbers_fills_only_its_own_share() -> None:
    codes = TextCodes(most_per_tag=2)
    codes.code("SN-1", tag=5)
    codes.code("SN-2", tag=5)
    with pytest.raises(TooManyTextsError, match="tag 5"):
        codes.code("SN-3", tag=5)
    assert codes.code("SN-1", tag=5) == 0
    assert codes.code("RUN", tag=6) == 2
    assert len(codes) == 3


def test_texts_of_the_configuration_count_against_no_tag() -> None:
    codes = TextCodes(most_per_tag=0)
    assert codes.code("RUN") == 0
    assert codes.code("RUN", tag=1) == 0


def test_a_code_that_was_never_given_out_has_no_text() -> None:
    with pytest.raises(KeyError):
        TextCodes().text(3)
