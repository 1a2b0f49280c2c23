"""Faults in a real container's network namespace: what a new and a held connection feel, and that nothing is left."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from harness.clients.netns import Netns, NotHereError
from harness.clients.poll import poll
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault, Scalar
from harness.faults import Before
from harness.faults.container import ContainerFaults
from harness.ledger import Undo
from tests.contracts.containers import LABEL, docker
from tests.contracts.namespaces import OTHER_PORT, Node, Server, answered, connect, heard, look_up, pair, reachable

pytestmark = pytest.mark.needs("docker", "netns")

IN_TIME_NS = 20_000_000_000
KINDS: Mapping[str, Mapping[str, Scalar]] = {
    "partition": {"from": "db"},
    "loss": {"share": 0.5, "port": 0.0},
    "dns": {"answer": "refuse"},
    "rate": {"rate": 100},
}
INJECTS = """
import json, sys
from harness.faults.container import ContainerFaults
from tests.contracts.test_container_network import made
driver = ContainerFaults(lambda name: name)
wanted = made(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
before = driver.before(wanted)
print(json.dumps(before), flush=True)
driver.inject(wanted, before)
print("in force", flush=True)
sys.stdin.read()
"""


def made(kind: str, on: str, params: Mapping[str, Scalar]) -> Fault:
    """A fault called `f`."""
    return Fault(name="f", driver="container", kind=kind, on=on, params=params, stage="s", after_ns=0, hold_ns=1)


def driver() -> ContainerFaults:
    """A driver that knows nothing yet."""
    return ContainerFaults(lambda name: name)


@pytest.fixture(scope="module")
def nodes(image: str) -> Iterator[tuple[Node, Node]]:
    """Two containers for all tests here: each must leave them as it found them."""
    with pair(image) as (api, db):
        servers = [Server(api), Server(api, OTHER_PORT), Server(db)]
        yield api, db
        for server in servers:
            server.close()


@pytest.fixture
def api(nodes: tuple[Node, Node]) -> Iterator[Node]:
    """The one that is hit, as clean afterwards as before."""
    found = nodes[0].rules()
    yield nodes[0]
    assert nodes[0].rules() == found


@pytest.fixture
def db(nodes: tuple[Node, Node]) -> Node:
    """Its only neighbour."""
    return nodes[1]


def of(kind: str, api: Node, db: Node, **params: Scalar) -> Fault:
    """A fault of each kind on api."""
    return made(kind, api.name, {**KINDS[kind], **({"from": db.name} if kind == "partition" else {}), **params})


@contextmanager
def in_force(wanted: Fault) -> Iterator[Before]:
    """Checked, injected, and healed at the end by a driver of its own."""
    driver().check(wanted)
    before = driver().before(wanted)
    driver().inject(wanted, before)
    try:
        yield before
    finally:
        driver().heal(wanted, before)


def test_a_partition_silences_both_connections_between_two_and_no_other(api: Node, db: Node) -> None:
    """Held and new, both ways; a third party goes on. Afterwards the held connection gets its late answer."""
    address, from_db = db.address, api.address
    wanted = of("partition", api, db)
    with api.inside(lambda: connect(address)) as held:
        assert answered(held)
        with in_force(wanted) as before:
            assert not answered(held)
            assert not api.inside(lambda: reachable(address))
            assert not db.inside(lambda: reachable(from_db))
            assert reachable(api.address)
            felt = driver().felt(wanted, before)
        held.settimeout(IN_TIME_NS / 1e9)
        assert heard(held)
    assert felt.felt, felt.proof
    assert api.inside(lambda: reachable(address))


def test_lost_packets_of_one_port_silence_it_and_no_other(api: Node, db: Node) -> None:
    """A share of one: nothing passes."""
    with connect(api.address) as held, in_force(of("loss", api, db, share=1.0, port=8000.0)):
        assert not answered(held)
        assert not reachable(api.address)
        assert reachable(api.address, OTHER_PORT)
    assert reachable(api.address)


def test_the_share_that_is_lost_is_the_one_asked_for(api: Node, db: Node) -> None:
    """Counted on datagrams, which nobody sends again: 30 % of 1000, within six standard deviations."""
    many = 1000
    receiver = api.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with receiver, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        receiver.bind(("0.0.0.0", 9000))
        receiver.settimeout(0.3)
        place = (api.address, 9000)
        wanted = of("loss", api, db, share=0.3)
        with in_force(wanted) as before:
            for _ in range(many):
                sender.sendto(b"x", place)
            arrived = 0
            with pytest.raises(TimeoutError):
                while True:
                    receiver.recv(16)
                    arrived += 1
            felt = driver().felt(wanted, before)
    spread = (many * 0.3 * 0.7) ** 0.5
    assert abs(arrived - many * 0.7) < 6 * spread
    assert felt.felt, felt.proof


@pytest.mark.parametrize(("answer", "error"), [("refuse", ConnectionRefusedError), ("drop", TimeoutError)])
def test_names_are_not_resolved_and_addresses_go_on(api: Node, db: Node, answer: str, error: type[OSError]) -> None:
    """Docker's resolver refuses at once, or says nothing; connections do not care."""
    address = db.address
    packed = socket.inet_aton(address)
    assert packed in api.inside(lambda: look_up(db.name))
    wanted = of("dns", api, db, answer=answer)
    with api.inside(lambda: connect(address)) as held, in_force(wanted) as before:
        with pytest.raises(error):
            api.inside(lambda: look_up(db.name))
        assert answered(held)
        assert api.inside(lambda: reachable(address))
        felt = driver().felt(wanted, before)
    assert felt.felt, felt.proof
    assert packed in api.inside(lambda: look_up(db.name))


def test_a_rate_slows_large_answers_of_new_and_held_connections(api: Node, db: Node) -> None:
    """60 kB at 100 KB/s take 0.6 s, less what the bucket and the buffers hold; without it a few ms."""

    def seconds(connection: socket.socket) -> float:
        begun = time.monotonic()
        assert answered(connection, 60_000, timeout_s=5)
        return time.monotonic() - begun

    wanted = of("rate", api, db)
    with connect(api.address) as held:
        with in_force(wanted) as before:
            slow = [seconds(held)]
            with connect(api.address, timeout_s=5) as new:
                slow.append(seconds(new))
            felt = driver().felt(wanted, before)
        assert min(slow) > 0.4
        assert poll(lambda: seconds(held) < 0.2, IN_TIME_NS)
    assert felt.felt, felt.proof


def test_a_delay_is_felt_or_refused_with_the_toxic_to_use_instead(api: Node, db: Node) -> None:
    """By what this kernel has."""
    wanted = made("delay", api.name, {"delay": 300, "jitter": 0})
    try:
        driver().check(wanted)
    except EnvironmentBroke as refused:
        assert "this kernel cannot do `container: delay`" in str(refused)
        assert "toxic: latency" in refused.hint
        return
    with connect(api.address) as held:
        with in_force(wanted) as before:
            assert not answered(held, timeout_s=0.25)
            assert driver().felt(wanted, before).felt
        assert poll(lambda: reachable(api.address), IN_TIME_NS)


@pytest.mark.parametrize("kind", KINDS)
class TestEveryKind:
    """What holds for each."""

    def test_is_not_felt_by_nobody_and_healing_twice_or_for_nothing_is_fine(
        self, api: Node, db: Node, kind: str
    ) -> None:
        """Never injected: healed, not felt. Injected and met by nobody: not felt."""
        wanted = of(kind, api, db)
        before = driver().before(wanted)
        driver().heal(wanted, before)
        assert not driver().felt(wanted, before).felt
        driver().inject(wanted, before)
        assert not driver().felt(wanted, before).felt
        assert driver().residue([(wanted, before)])
        driver().heal(wanted, before)
        driver().heal(wanted, before)
        assert driver().residue([(wanted, before)]) == ()

    def test_is_found_by_its_mark_and_refused_by_the_next(self, api: Node, db: Node, kind: str) -> None:
        """Asked of all running containers, without any book."""
        with in_force(of(kind, api, db)):
            assert any(api.name in line for line in driver().marks())
            with pytest.raises(BadInput, match="already"):
                driver().check(of(kind, api, db))
        assert not [line for line in driver().marks() if api.name in line]

    def test_the_command_for_a_person_removes_it(self, api: Node, db: Node, kind: str) -> None:
        """As it stands in the undo record."""
        wanted = of(kind, api, db)
        found = api.rules()
        with in_force(wanted) as before:
            assert api.rules() != found
            done = subprocess.run(
                driver().by_hand(wanted, before), shell=True, capture_output=True, timeout=20, check=False
            )
            assert done.returncode == 0
            assert api.rules() == found

    @pytest.mark.parametrize("instant", ["in force", "early", "late"])
    def test_is_healed_from_its_record_alone_when_its_maker_is_killed(
        self, api: Node, db: Node, kind: str, instant: str
    ) -> None:
        """SIGKILL once in force, or at a random instant of injecting; a command at work then ends by itself."""
        wanted = of(kind, api, db)
        found = api.rules()
        words = [sys.executable, "-c", INJECTS, kind, api.name, json.dumps(dict(wanted.params))]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as maker:
            assert maker.stdout is not None
            before = json.loads(maker.stdout.readline())
            if instant == "in force":
                assert maker.stdout.readline() == "in force\n"
                assert api.rules() != found
            else:
                deadline = time.monotonic() + random.uniform(0, 0.01 if instant == "early" else 0.04)
                while time.monotonic() < deadline:
                    pass
            os.kill(maker.pid, signal.SIGKILL)
            maker.wait(10)
        undo = Undo(name="f", driver="container", kind=kind, on=api.name, params=wanted.params, before=before)
        assert poll(lambda: not api.visitors(), IN_TIME_NS)
        driver().heal(undo.fault, undo.before)
        assert api.rules() == found


def test_a_queueing_discipline_of_somebody_else_is_refused(api: Node, db: Node) -> None:
    """It is there afterwards as it was."""
    api.shell("tc qdisc add dev eth0 root handle 1: tbf rate 1gbit burst 100kb latency 50ms")
    try:
        with pytest.raises(BadInput, match="queueing discipline tbf 1: on eth0 already"):
            driver().check(of("rate", api, db))
    finally:
        api.shell("tc qdisc del dev eth0 root handle 1:")


def test_the_network_of_this_machine_is_never_touched(image: str) -> None:
    """A container in host mode is refused by check; and the door itself does not lead there."""
    found = subprocess.run(["iptables-save"], capture_output=True, timeout=20, check=True).stdout.count(b"harness-")
    name = f"harness-test-host-{os.getpid()}"
    docker("run", "-d", "--name", name, "--label", LABEL, "--network", "host", image, "sleep", "60")
    try:
        for kind in KINDS:
            with pytest.raises(BadInput, match="no network of its own"):
                driver().check(made(kind, name, {**KINDS[kind], "from": name}))
        node = Node(name=name)
        refused = pytest.raises(EnvironmentBroke, match="shares the network of this machine")
        with refused, Netns().enter(node.pid, node.asked("{{.Id}}")):
            pytest.fail("it went in")
    finally:
        docker("rm", "-f", name)
    now = subprocess.run(["iptables-save"], capture_output=True, timeout=20, check=True).stdout.count(b"harness-")
    assert now == found


def test_a_pid_that_is_somebody_elses_by_now_leads_nowhere(api: Node) -> None:
    """The process must be in the container's own cgroup."""
    for pid, container in ((os.getpid(), api.asked("{{.Id}}")), (api.pid, "f" * 64), (0, api.asked("{{.Id}}"))):
        with pytest.raises(NotHereError), Netns().enter(pid, container):
            pytest.fail("it went in")


def test_a_container_restarted_meanwhile_has_a_new_network_that_is_left_alone(image: str) -> None:
    """Rules ended with the old one; those that somebody made in the new one stay."""
    with pair(image) as (one, other):
        found = one.rules()
        wanted = of("partition", one, other)
        before = driver().before(wanted)
        driver().inject(wanted, before)
        docker("restart", "-t", "0", one.name)
        assert one.rules() == found
        one.shell("iptables -A INPUT -p sctp -j DROP")
        theirs = one.rules()
        driver().heal(wanted, before)
        assert one.rules() == theirs
        assert not driver().felt(wanted, before).felt
