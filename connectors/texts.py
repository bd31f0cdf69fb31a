"""Texts as numbers: the dictionary that lets a text travel in a float64 column.

Two ways were weighed: a dictionary per tag (small codes) or one for all (a profile's rules hold the same code for a
hundred machines). One for all won; the bound per tag keeps a tag that sends serial numbers from filling it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class TooManyTextsError(ValueError):
    """A tag sent more different texts than it may; the text was not taken on."""


class TextCodes:
    """Text ↔ code, growing, the same codes for the life of a journal.

    Codes count up from 0. `fresh` holds what was added since it was last taken, for the journal to keep in the same
    transaction as the samples that use it.
    """

    def __init__(self, known: Mapping[str, int] | None = None, *, most_per_tag: int = 10_000) -> None:
        self._code: dict[str, int] = dict(known or {})
        self._text: dict[int, str] = {code: text for text, code in self._code.items()}
        self._next = max(self._text, default=-1) + 1
        self._per_tag: dict[int, int] = {}
        self._most_per_tag = most_per_tag
        self._fresh: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._code)

    def code(self, text: str, tag: int | None = None) -> int:
        """The code of a text, a new one where it has none.

        tag: the tag that sent it, counted against its bound; None for texts of the configuration, which are not.
        Raises TooManyTextsError where the text is new and the tag has used up its share.
        """
        known = self._code.get(text)
        if known is not None:
            return known
        if tag is not None:
            used = self._per_tag.get(tag, 0)
            if used >= self._most_per_tag:
                raise TooManyTextsError(f"tag {tag} sent more than {self._most_per_tag} different texts")
            self._per_tag[tag] = used + 1
        code = self._next
        self._next += 1
        self._code[text] = code
        self._text[code] = text
        self._fresh[text] = code
        return code

    def text(self, code: int) -> str:
        """The text of a code. Raises KeyError for a code that was never given out."""
        return self._text[code]

    def texts(self, codes: Iterable[int]) -> list[str]:
        """The texts of codes, in order."""
        return [self._text[code] for code in codes]

    def take_fresh(self) -> dict[str, int]:
        """What was added since the last call, text → code; the caller keeps it."""
        fresh, self._fresh = self._fresh, {}
        return fresh
