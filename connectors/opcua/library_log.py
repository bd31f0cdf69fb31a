"""What asyncua's client logs, turned into facts of the connection that it is about.

asyncua logs what a caller already gets as an exception, with tracebacks, for every server that is switched off. Here
its records of WARNING and above become one line of the connection's health; nothing of them is printed. Records that
no connection of ours caused (asyncua may also be a server in this process) go their usual way, without tracebacks.

Two ways were weighed to find the connection: a logger each (asyncua's loggers are of modules, not of connections), or
a context variable, which asyncio carries into every task and callback that a connection starts. The latter won.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

Listener = Callable[[str], None]

_listener: ContextVar[Listener | None] = ContextVar("opcua_library_log", default=None)
_LIBRARY: Final = "asyncua"


class _Facts(logging.Handler):
    """Hands a record to the connection in whose context it was made."""

    def emit(self, record: logging.LogRecord) -> None:
        listener = _listener.get()
        if listener is not None:
            listener(record.getMessage())
            return
        record.exc_info = None
        record.exc_text = None
        logging.getLogger().handle(record)


def listen(listener: Listener) -> None:
    """Send what the library says in this context, and in tasks begun from it, to `listener`."""
    library = logging.getLogger(_LIBRARY)
    if not any(isinstance(handler, _Facts) for handler in library.handlers):
        library.addHandler(_Facts(logging.WARNING))
        library.propagate = False
    _listener.set(listener)
