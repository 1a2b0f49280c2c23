"""Faults on the processes of a process stack."""

from __future__ import annotations

from harness.loader.catalogue.services import stoppable

PROCESSES = stoppable("process", "process")
