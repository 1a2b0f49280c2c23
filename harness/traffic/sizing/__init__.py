"""How much load this machine can send: cores, files, ports, memory, and a rate that is measured before a run.

Told from the system: `processes`, `files`, `memory`, `room`. Measured: `selftest` runs users of `null/` at a
`null_target` and `capacity` searches. `planned` is what the experiment asks for, and whether that is too much.
"""
