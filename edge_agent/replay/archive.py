"""Where a replay's engine keeps what is packed away: files in a folder, read only when a late meter asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path


class ArchiveFolder(Mapping[int, bytes]):
    """Start of a block (ns) → the packed block. folder: an empty one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._starts: set[int] = set()

    def __getitem__(self, start: int) -> bytes:
        if start not in self._starts:
            raise KeyError(start)
        return self._path(start).read_bytes()

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._starts))

    def __len__(self) -> int:
        return len(self._starts)

    def keep(self, blocks: Mapping[int, bytes], oldest: int) -> None:
        """Take on blocks; remove those that begin before `oldest` (ns), but the last of them, which may reach past."""
        for start, body in blocks.items():
            self._path(start).write_bytes(body)
            self._starts.add(start)
        for start in sorted(one for one in self._starts if one < oldest)[:-1]:
            self._remove(start)

    def clear(self) -> None:
        """Remove all."""
        for start in list(self._starts):
            self._remove(start)

    def _remove(self, start: int) -> None:
        self._path(start).unlink(missing_ok=True)
        self._starts.discard(start)

    def _path(self, start: int) -> Path:
        return self._folder / f"block-{start}"
