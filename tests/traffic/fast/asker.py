"""A process of its own, since gevent must not meet the tests: makes the calls told on standard input with one FastUser.

Each line of the input is a user as JSON: {"options": attributes of its class, "calls": [...]}; a call is {"method",
"url", ...keywords of Session.request...}, with "fill" for a body of that many bytes. Prints what came of the calls of
each user, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from locust.env import Environment

from harness.traffic import FastUser

fired: list[dict[str, Any]] = []


def asked(user: FastUser, call: dict[str, Any]) -> dict[str, Any]:
    """What came of one call."""
    fired.clear()
    time.sleep(call.pop("pause", 0))
    if "fill" in call:
        call["data"] = b"x" * call.pop("fill")
    began = time.monotonic()
    try:
        answer = user.client.request(**call)
    except Exception as error:  # noqa: BLE001 - which one is what the test asks
        return {"raised": type(error).__name__, "said": str(error), "fired": len(fired)}
    took = time.monotonic() - began
    found: dict[str, Any] = {
        "status": answer.status_code,
        "ok": answer.ok,
        "error": type(answer.error).__name__ if answer.error else "",
        "kinds": [kind.__name__ for kind in type(answer.error).__mro__] if answer.error else [],
        "said": str(answer.error or ""),
        "headers": dict(answer.headers) if len(answer.raw) < 10_000 else {},
        "url": answer.url,
        "history": [station.status_code for station in answer.history],
        "timings": [answer.timings.connect_us, answer.timings.first_byte_us, answer.timings.total_us],
        "took_s": took,
        "fired": [{key: event[key] for key in ("request_type", "name", "response_length", "url")} for event in fired],
    }
    try:
        found["text"] = answer.text if (answer.text is None or len(answer.text) < 10_000) else len(answer.text)
    except ValueError as error:
        found["text_error"] = type(error).__name__
    return found


def main() -> None:
    """Serve the input."""
    results = []
    for line in sys.stdin:
        told = json.loads(line)
        kind = type("Asker", (FastUser,), {"host": sys.argv[1], "timeout": 20.0, **told["options"]})
        environment = Environment(user_classes=[kind])
        environment.events.request.add_listener(lambda **meta: fired.append(meta))
        user = kind(environment)
        results.append([asked(user, call) for call in told["calls"]])
        user.client.close()
    print(json.dumps(results))


if __name__ == "__main__":
    main()
