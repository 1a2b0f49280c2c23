"""Decisions of the compose stack, on an Engine in memory."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

import pytest

from harness.clients.compose import Compose
from harness.clients.docker import Docker
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import ComposeStack, Ready
from harness.stacks.compose import ComposeDriver, replicas, trouble
from tests.clients.clock import JumpClock
from tests.faults.engine import FakeDocker, document


class FakeCompose:
    """Remembers its calls; fails when told to."""

    def __init__(self, failing: str = "") -> None:
        self.calls: list[str] = []
        self._failing = failing

    def up(self) -> None:
        """Start."""
        self._call("up")

    def down(self) -> None:
        """Take down."""
        self._call("down")

    def interrupt(self) -> None:
        """End a call in progress."""

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self._failing.split():
            raise EnvironmentBroke(f"{name} failed", hint="h")


def service(name: str, number: int = 1, *, ports: list[dict[str, Any]] | None = None, **state: Any) -> dict[str, Any]:
    """A container of the project harness-r."""
    one = document(f"{name}{number}", **state)
    labels = {"project": "harness-r", "service": name, "container-number": str(number), "oneoff": "False"}
    one["Config"]["Labels"] = {f"com.docker.compose.{key}": value for key, value in labels.items()}
    one["Ports"] = ports or []
    return one


def tcp(private: int, public: int | None, ip: str = "127.0.0.1") -> dict[str, Any]:
    """A port in the Engine's list."""
    return {"PrivatePort": private, "Type": "tcp", "IP": ip, **({"PublicPort": public} if public else {})}


def driver(
    engine: FakeDocker,
    compose: FakeCompose,
    *,
    ready: dict[str, Ready] | None = None,
    env: dict[str, str] | None = None,
) -> ComposeDriver:
    """The driver of run `r`, without waiting."""
    return ComposeDriver(
        ComposeStack(file="c.yaml", ready=ready or {}, env=env or {}),
        links={"front": "172.17.0.1:99"},
        base_dir=Path(),
        log_dir=Path(),
        run="r",
        docker=cast(Docker, engine),
        compose=cast(Compose, compose),
        clock=JumpClock(),
    )


def test_a_services_address_is_its_lowest_published_tcp_port() -> None:
    """Unpublished and UDP ports do not count; 0.0.0.0 is reached at 127.0.0.1; the first replica speaks for all."""
    udp = {"PrivatePort": 53, "PublicPort": 53, "Type": "udp", "IP": "127.0.0.1"}
    second = service("web", 2, ports=[tcp(80, 1002)])
    first = service("web", 1, ports=[tcp(443, 1443), tcp(79, None), tcp(80, 1001, "::"), tcp(80, 1001, "0.0.0.0"), udp])
    one = driver(FakeDocker(second, first, service("db", ports=[tcp(5432, None)])), FakeCompose())
    seen: dict[str, str] = {}
    one.up(seen.update)
    assert seen == {"web": "127.0.0.1:1001"}
    assert one.address("web") == "127.0.0.1:1001"
    assert one.handle("web") == first["Id"]
    with pytest.raises(KeyError):
        one.address("db")


def test_one_off_containers_are_no_replicas() -> None:
    """`docker compose run` makes them."""
    one_off = service("web")
    one_off["Config"]["Labels"]["com.docker.compose.oneoff"] = "True"
    assert replicas(FakeDocker(one_off).containers({})) == ()


@pytest.mark.parametrize(
    ("state", "wanted", "expected"),
    [
        ({}, True, ("", False)),
        ({"Running": False, "ExitCode": 0}, False, ("", False)),
        ({"Running": False, "ExitCode": 0}, True, ("it ended with exit code 0", True)),
        ({"Running": False, "ExitCode": 3}, False, ("it ended with exit code 3", True)),
        ({"Restarting": True}, True, ("it keeps being restarted", False)),
    ],
)
def test_when_a_container_is_not_up(state: dict[str, Any], wanted: bool, expected: tuple[str, bool]) -> None:
    """A job that ended well is fine unless it was to stay."""
    assert trouble(document(**state), wanted=wanted) == expected


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        ("healthy", ("", False)),
        ("starting", ("its health check has not passed yet", False)),
        ("unhealthy", ("its health check fails", False)),
    ],
)
def test_a_health_check_is_waited_for(health: str, expected: tuple[str, bool]) -> None:
    """The image's own word on when it is up."""
    one = document()
    one["State"]["Health"] = {"Status": health}
    assert trouble(one, wanted=False) == expected


def test_a_failure_carries_each_log_and_takes_all_down() -> None:
    """And the hint of what failed."""
    compose = FakeCompose()
    one = driver(FakeDocker(service("web"), service("db", Running=False, ExitCode=1)), compose)
    with pytest.raises(EnvironmentBroke, match="db is not ready: it ended with exit code 1") as caught:
        one.up(lambda _: None)
    assert "words of /web1" in str(caught.value)
    assert "words of /db1" in str(caught.value)
    assert compose.calls == ["up", "down"]


def test_a_failure_to_take_down_is_said_beside_the_first() -> None:
    """Not instead of it."""
    with pytest.raises(EnvironmentBroke, match=r"up failed(.|\n)*could not be taken down: down failed") as caught:
        driver(FakeDocker(), FakeCompose("up down")).up(lambda _: None)
    assert caught.value.hint == "h"


def test_an_interrupt_takes_down_too() -> None:
    """Ctrl-C while services come up."""
    compose = FakeCompose()

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        driver(FakeDocker(service("web")), compose).up(interrupt)
    assert compose.calls == ["up", "down"]


def test_down_from_another_thread_ends_an_up_that_waits() -> None:
    """Ctrl-C is handled by a thread of its own; the waiting `up` gives up, and all is down when `down` returns."""
    compose = FakeCompose()
    engine = FakeDocker(service("web", Restarting=True))
    one = driver(engine, compose)
    inspect, waiting = engine.inspect, threading.Event()

    def inspected(container: str) -> Any:
        waiting.set()
        stopper.join(0.01)
        return inspect(container)

    def stop() -> None:
        waiting.wait(10)
        one.down()

    stopper = threading.Thread(target=stop)
    engine.inspect = inspected  # type: ignore[method-assign]
    stopper.start()
    with pytest.raises(EnvironmentBroke, match="the stack is being taken down"):
        one.up(lambda _: None)
    stopper.join(10)
    assert not stopper.is_alive()
    assert compose.calls == ["up", "down"]


def test_readiness_of_what_is_not_there_or_not_published_is_said() -> None:
    """With what the file does start, and with what to do."""
    ready = {"web": Ready(how="tcp", within_ns=1_000_000_000)}
    with pytest.raises(EnvironmentBroke, match="names web, which the compose file does not start") as caught:
        driver(FakeDocker(service("db")), FakeCompose(), ready=ready).up(lambda _: None)
    assert "it starts: db" in caught.value.hint
    with pytest.raises(EnvironmentBroke, match=r"web is not ready within 1 s: it publishes no TCP port"):
        driver(FakeDocker(service("web")), FakeCompose(), ready=ready).up(lambda _: None)


def test_project_names_are_what_compose_allows() -> None:
    """Run names have capitals and may have dots."""
    spec = ComposeStack(file="c.yaml")
    made = ComposeDriver(spec, links={}, base_dir=Path(), log_dir=Path(), run="2026-11-21T21-04-10Z.7f3a")
    assert made.project == "harness-2026-11-21t21-04-10z-7f3a"


def test_an_unknown_link_in_the_environment_is_bad_input() -> None:
    """Said before anything is started."""
    with pytest.raises(BadInput, match=r"stack env DB: \{nope\} is neither a service nor a proxy"):
        driver(FakeDocker(), FakeCompose(), env={"DB": "{nope}"})
