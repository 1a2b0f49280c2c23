"""The process stack: what it starts, tells, and leaves behind when things go wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from harness.clients import tcp
from harness.clients.poll import poll
from harness.clients.process import group
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import ProcessStack, Ready, Service
from harness.stacks.process import ProcessDriver

IN_TIME_NS = 20_000_000_000
WEB = "{python} -m http.server --bind 127.0.0.1 {port}"
TCP = Ready(how="tcp", within_ns=20_000_000_000)


class Stacks:
    """Makes drivers in one folder, and takes all down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: list[ProcessDriver] = []

    def __call__(self, *services: Service, links: Mapping[str, str] | None = None) -> ProcessDriver:
        """A driver for these services."""
        spec = ProcessStack(services=services)
        driver = ProcessDriver(spec, links=links or {}, base_dir=self.folder, log_dir=self.folder / "logs", run="r")
        self.made.append(driver)
        return driver


@pytest.fixture
def stacks(tmp_path: Path) -> Iterator[Stacks]:
    """The maker."""
    maker = Stacks(tmp_path)
    yield maker
    for driver in maker.made:
        driver.down()


def log(stacks: Stacks, name: str) -> str:
    """The log of a service."""
    return (stacks.folder / "logs" / f"{name}.log").read_text()


def test_command_and_environment_are_filled_in_without_a_shell(stacks: Stacks) -> None:
    """Own port, a neighbour's address, a proxy's address; `$HOME` and `;` mean nothing."""
    show = "import os, sys; print(sys.argv[1:], os.environ['DB'], os.environ['FRONT'])"
    command = f'{{python}} -c "{show}" --port {{port}} "$HOME; ls"'
    driver = stacks(
        Service(name="db", command=WEB, ready=TCP),
        Service(name="api", command=command, env={"DB": "{db}", "FRONT": "http://{front}/x"}),
        links={"front": "127.0.0.1:7777"},
    )
    driver.up(lambda _: None)
    port = driver.address("api").rpartition(":")[2]
    assert poll(lambda: log(stacks, "api"), IN_TIME_NS)
    expected = f"['--port', '{port}', '$HOME; ls'] {driver.address('db')} http://127.0.0.1:7777/x"
    assert log(stacks, "api").strip() == expected


def test_a_link_with_a_services_name_stands_in_front_of_it(stacks: Stacks) -> None:
    """`proxies: {db: {upstream: db}}`: who asks for db gets the link."""
    show = "{python} -c \"import os; print(os.environ['DB'])\""
    driver = stacks(
        Service(name="db", command=WEB),
        Service(name="api", command=show, env={"DB": "{db}"}),
        links={"db": "127.0.0.1:7777"},
    )
    driver.up(lambda _: None)
    assert poll(lambda: log(stacks, "api").strip() == "127.0.0.1:7777", IN_TIME_NS)


def test_announce_comes_before_anything_is_started(stacks: Stacks) -> None:
    """Proxies must stand before those who connect to them."""
    driver = stacks(Service(name="web", command=WEB, ready=TCP))
    seen: list[object] = []
    driver.up(lambda addresses: seen.append((addresses["web"], driver.handle("web"))))
    assert seen == [(driver.address("web"), None)]


def test_an_early_end_is_said_with_the_last_lines_and_all_is_taken_down(stacks: Stacks) -> None:
    """The first to end is named, its last 20 lines are shown, and its neighbour does not run on."""
    shout = "import sys; [print('line', n) for n in range(30)]; sys.exit('cannot bind')"
    driver = stacks(
        Service(name="web", command=WEB, ready=TCP),
        Service(name="api", command=f'{{python}} -c "{shout}"', ready=TCP),
    )
    addresses: dict[str, str] = {}
    with pytest.raises(EnvironmentBroke, match="api ended with exit code 1") as caught:
        driver.up(addresses.update)
    shown = str(caught.value).splitlines()
    assert "  cannot bind" in shown
    assert "  line 29" in shown
    assert "  line 9" not in shown
    assert tcp.refusal("127.0.0.1", int(addresses["web"].rpartition(":")[2]), timeout_s=1) == "Connection refused"


def test_what_never_gets_ready_is_given_up_in_time(stacks: Stacks) -> None:
    """Running is not ready."""
    soon = Ready(how="tcp", within_ns=300_000_000)
    driver = stacks(Service(name="mute", command="sleep 600", ready=soon))
    with pytest.raises(EnvironmentBroke, match=r"mute is not ready within 0.3 s: Connection refused"):
        driver.up(lambda _: None)


def test_http_readiness_wants_an_answer_below_400(stacks: Stacks) -> None:
    """A server that says 404 listens, but is not ready."""
    ready = Ready(how="http", path="/missing", within_ns=3_000_000_000)
    with pytest.raises(EnvironmentBroke, match="GET /missing is answered 404"):
        stacks(Service(name="web", command=WEB, ready=ready)).up(lambda _: None)


@pytest.mark.parametrize(
    ("service", "words"),
    [
        (Service(name="api", command="no-such-program --port {port}"), "no such program"),
        (Service(name="api", command=""), "the command is empty"),
        (Service(name="api", command=WEB, cwd="nowhere"), "no such folder"),
    ],
)
def test_a_service_that_cannot_be_started_is_said_in_words(stacks: Stacks, service: Service, words: str) -> None:
    """Before it is tried, and with what to do."""
    with pytest.raises(EnvironmentBroke, match=words) as caught:
        stacks(service).up(lambda _: None)
    assert caught.value.hint


def test_an_unknown_place_lists_the_known_ones(stacks: Stacks) -> None:
    """A typo in `{name}`."""
    with pytest.raises(BadInput, match=r"\{dbb\} is neither a service nor a proxy") as caught:
        stacks(Service(name="db", command=f"{WEB} {{dbb}}")).up(lambda _: None)
    assert "db" in caught.value.hint


def test_restart_keeps_command_port_environment_and_log(stacks: Stacks) -> None:
    """Another process, in the same place."""
    driver = stacks(Service(name="web", command=WEB, env={"MARK": "x"}, ready=TCP))
    driver.up(lambda _: None)
    address, first = driver.address("web"), driver.handle("web")
    assert first is not None
    told = psutil.Process(first).cmdline()
    driver.stop("web")
    assert driver.handle("web") is None
    driver.start("web")
    driver.restart("web")
    second = driver.handle("web")
    assert second is not None
    assert second != first
    assert (driver.address("web"), psutil.Process(second).cmdline()) == (address, told)
    assert psutil.Process(second).environ()["MARK"] == "x"


def test_down_ends_stopped_and_deaf_services_and_their_children(stacks: Stacks) -> None:
    """SIGSTOPped, ignoring SIGTERM, with a child of its own: all gone."""
    deaf = (
        "import signal, subprocess, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "subprocess.Popen(['sleep', '600']); print('deaf', flush=True); signal.pause()"
    )
    driver = stacks(
        Service(name="frozen", command=WEB, ready=TCP), Service(name="deaf", command=f'{{python}} -c "{deaf}"')
    )
    driver.up(lambda _: None)
    assert poll(lambda: "deaf" in log(stacks, "deaf"), IN_TIME_NS)
    frozen, loud = driver.handle("frozen"), driver.handle("deaf")
    assert frozen is not None
    assert loud is not None
    os.killpg(frozen, signal.SIGSTOP)
    driver.down()
    assert (group(frozen), group(loud)) == ((), ())


def test_down_from_another_thread_ends_an_up_that_waits(stacks: Stacks) -> None:
    """Ctrl-C is handled by a thread of its own; what had been started is gone when `down` returns."""
    driver = stacks(Service(name="mute", command="sleep 600", ready=Ready(how="tcp", within_ns=60_000_000_000)))
    errors: list[str] = []

    def up() -> None:
        try:
            driver.up(lambda _: None)
        except EnvironmentBroke as error:
            errors.append(str(error))

    starter = threading.Thread(target=up)
    starter.start()

    def started() -> int | None:
        with suppress(KeyError):
            return driver.handle("mute")
        return None

    pid = poll(started, IN_TIME_NS)
    assert pid is not None
    driver.down()
    assert group(pid) == ()
    starter.join(10)
    assert "the stack is being taken down" in errors[0]


def test_services_end_when_the_harness_is_killed(tmp_path: Path) -> None:
    """kill -9 on the harness, called from a thread that has ended: the warden, deaf to signals, ends the services."""
    program = f"""
import sys, threading
from pathlib import Path
from harness.experiment import ProcessStack, Ready, Service
from harness.stacks.process import ProcessDriver
folder = Path({str(tmp_path)!r})
spec = ProcessStack(services=(Service(name="web", command={WEB!r}, ready=Ready(how="tcp")),))
driver = ProcessDriver(spec, links={{}}, base_dir=folder, log_dir=folder, run="r")
worker = threading.Thread(target=driver.up, args=(lambda _: None,))
worker.start()
worker.join()
print(driver.handle("web"), flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as harness:
        assert harness.stdout is not None
        pid = int(harness.stdout.readline())
        assert group(pid)
        os.kill(pid, signal.SIGSTOP)
        (warden,) = [one for one in psutil.Process(harness.pid).children() if one.pid != pid]
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            warden.send_signal(number)
        harness.kill()
        assert poll(lambda: not group(pid), IN_TIME_NS)
