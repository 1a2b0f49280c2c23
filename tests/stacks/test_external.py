"""The external stack: only looked at."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from harness.clients.tcp import free_port
from harness.errors import EnvironmentBroke
from harness.experiment import ExternalStack
from harness.stacks.external import WITHIN_NS, ExternalDriver
from tests.clients.clock import JumpClock


def test_a_dead_target_is_said_after_ten_seconds() -> None:
    """Which, where, why, and what to do."""
    clock = JumpClock()
    spec = ExternalStack(addresses={"web": f"http://127.0.0.1:{free_port()}"})
    driver = ExternalDriver(spec, links={}, base_dir=Path(), log_dir=Path(), run="r", clock=clock)
    with pytest.raises(EnvironmentBroke, match=r"target dead from the start: web at 127\.0\.0\.1:.*refused") as caught:
        driver.up(lambda _: None)
    assert clock.now() == WITHIN_NS
    assert "stack: external:" in caught.value.hint


def test_a_target_that_comes_up_late_is_fine() -> None:
    """Somebody starts it at the same moment as us."""
    port = free_port()
    listeners: list[socket.socket] = []

    class Starts(JumpClock):
        """Starts the target when waited on."""

        def wait(self, inbox: object, until: int) -> None:  # type: ignore[override]
            """The target comes up now."""
            if not listeners:
                listeners.append(socket.create_server(("127.0.0.1", port)))
            self.at_ns = until

    spec = ExternalStack(addresses={"web": f"127.0.0.1:{port}"})
    driver = ExternalDriver(spec, links={}, base_dir=Path(), log_dir=Path(), run="r", clock=Starts())
    driver.up(lambda _: None)
    assert len(listeners) == 1
    listeners[0].close()
