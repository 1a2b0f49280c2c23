"""Load from other machines: the harness's gate, the hosts that join it, and what passes between them.

    harness ── gate ══ one signed TCP connection for each host ══ harness worker ── worker process ── HTTP ── target

Pure: `handshake` (who may join), `frames` (the signed messages), `skew` (the other clock), `shipment` (the scenario as
an archive). At the harness: `gate`, `remote`. On the other machine: `joining`, `relay`.

The connection carries the worker's channel, Locust's own messages (ZeroMQ stays on loopback at both ends), the
scenario, and a ping each second in both directions of trust: whoever hears nothing any more lets go of the load.
"""
