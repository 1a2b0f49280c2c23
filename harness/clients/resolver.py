"""Which addresses a host name stands for, asked under a time limit: the system's resolver has none of its own."""

from __future__ import annotations

import queue
import socket
import threading

LIMIT_S = 2.0


def addresses_of(host: str, limit_s: float = LIMIT_S) -> tuple[str, ...]:
    """Every address of a host. Raises OSError when it is not known, TimeoutError (one too) after `limit_s`."""
    answers: queue.SimpleQueue[tuple[str, ...] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            answers.put(tuple(dict.fromkeys(str(entry[4][0]) for entry in found)))
        except UnicodeError as error:  # a label of more than 63 letters
            answers.put(OSError(str(error)))
        except OSError as error:
            answers.put(OSError(error.strerror or str(error)))

    threading.Thread(target=ask, name=f"resolve-{host}", daemon=True).start()
    try:
        answer = answers.get(timeout=limit_s)
    except queue.Empty:
        raise TimeoutError(f"no answer within {limit_s:g} s") from None
    if isinstance(answer, OSError):
        raise answer
    return answer
