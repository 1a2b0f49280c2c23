"""HTTP faults, on a server of our own that keeps flags."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault, Scalar
from harness.faults.http import HttpFaults, healer
from harness.units import NS_PER_S
from tests.faults.flags import Flags


@pytest.fixture
def flags() -> Iterator[Flags]:
    """A server without flags."""
    server = Flags()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def driver(flags: Flags, tmp_path: Path) -> HttpFaults:
    """A driver that knows the server as {flags}; its folder of logs is `tmp_path`."""
    return HttpFaults(log_dir=tmp_path, fill=lambda text: text.replace("{flags}", flags.address))


def fault(**params: Scalar) -> Fault:
    """A fault with the calls of a flag where the test says nothing else; "" leaves one out."""
    calls: dict[str, Scalar] = {
        "inject": "POST http://{flags}/flags/x",
        "heal": "DELETE http://{flags}/flags/x",
        "confirm": "GET http://{flags}/flags/x",
        "expect": "200-299",
        "timeout": 1000,
    }
    wanted = {key: value for key, value in {**calls, **params}.items() if value != ""}
    return Fault(
        name="off", driver="http", kind="call", on="flags", params=wanted, stage="s", after_ns=0, hold_ns=NS_PER_S
    )


class TestSteps:
    """Inject, confirm, heal."""

    def test_heals_from_what_the_ledger_holds(self, driver: HttpFaults, flags: Flags) -> None:
        """The reaper knows no {flags}: the address is in `before`."""
        before = driver.before(fault())
        driver.inject(fault(), before)
        assert flags.on == {"/flags/x"}
        assert driver.felt(fault(), before).felt
        healer().heal(fault(), before)
        assert flags.on == set()

    def test_bodies_and_headers_are_sent(self, driver: HttpFaults, flags: Flags) -> None:
        """JSON says that it is JSON; each step has its own body."""
        wanted = fault(body='{"x": 1}', heal_body="on", headers="X-Api: a\nX-For: b: c", confirm="")
        before = driver.before(wanted)
        driver.inject(wanted, before)
        driver.heal(wanted, before)
        (_, _, first, one), (_, _, second, two) = flags.asked
        assert (first, one["Content-Type"], one["X-Api"], one["X-For"]) == ('{"x": 1}', "application/json", "a", "b: c")
        assert (second, two["Content-Type"]) == ("on", "text/plain")

    def test_statuses_that_are_not_expected_fail(self, driver: HttpFaults, flags: Flags) -> None:
        """With the words of the server, secrets hidden; a redirect is not followed."""
        for status in (404, 500, 302):
            wanted = fault(inject=f"POST http://{{flags}}/status/{status}")
            with pytest.raises(
                EnvironmentBroke, match=rf"answered {status}, expected 200-299: flags: none, password=\*\*\*"
            ):
                driver.inject(wanted, driver.before(wanted))
        assert len(flags.asked) == 3

    def test_a_heal_may_expect_that_it_is_gone(self, driver: HttpFaults) -> None:
        """404 to a second DELETE is well for many services."""
        wanted = fault(heal="DELETE http://{flags}/status/404", expect="200-299, 404")
        driver.heal(wanted, driver.before(wanted))

    def test_what_has_no_effect_fails(self, driver: HttpFaults) -> None:
        """A good answer is not enough when there is a `confirm`, on both edges."""
        idle = fault(inject="POST http://{flags}/status/200", timeout=300)
        with pytest.raises(EnvironmentBroke, match="answered 200, but `confirm` still says no"):
            driver.inject(idle, driver.before(idle))
        stuck = fault(heal="DELETE http://{flags}/status/200", timeout=300)
        driver.inject(stuck, driver.before(stuck))
        with pytest.raises(EnvironmentBroke, match="answered 200, but `confirm` still says yes"):
            driver.heal(stuck, driver.before(stuck))

    def test_confirm_may_look_at_the_text(self, driver: HttpFaults) -> None:
        """Where the status is the same either way."""
        wanted = fault(confirm="GET http://{flags}/all", confirm_text="/flags/x")
        before = driver.before(wanted)
        assert not driver.felt(wanted, before).felt
        driver.inject(wanted, before)
        driver.heal(wanted, before)

    @pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
    def test_a_confirm_that_cannot_tell_is_no_no(self, driver: HttpFaults, status: int) -> None:
        """After healing, an answer that is about something else proves nothing."""
        wanted = fault(confirm=f"GET http://{{flags}}/status/{status}", timeout=200)
        with pytest.raises(EnvironmentBroke, match=f"answered {status}, which tells nothing"):
            driver.heal(wanted, driver.before(wanted))

    def test_a_server_that_has_gone_is_not_healed(self, driver: HttpFaults, flags: Flags) -> None:
        """Nobody answers: the heal fails, and is tried again by whoever called it."""
        before = driver.before(fault())
        flags.close()
        with pytest.raises(EnvironmentBroke, match=r"heal: DELETE http://127.0.0.1:.*refused"):
            driver.heal(fault(), before)

    def test_what_a_process_of_ours_had_in_force_ends_with_it(self, flags: Flags) -> None:
        """After kill -9 its stack is gone too: nobody to call, and nothing to take back."""
        child = subprocess.Popen(["sleep", "60"])
        driver = HttpFaults(fill=lambda text: text.replace("{flags}", flags.address), pid_of={"flags": child.pid}.get)
        before = driver.before(fault())
        flags.close()
        with pytest.raises(EnvironmentBroke, match="heal: DELETE"):
            driver.heal(fault(), before)
        child.kill()
        child.wait(10)
        healer().heal(fault(), before)

    def test_a_call_is_time_limited(self, driver: HttpFaults, flags: Flags) -> None:
        """And as long as it may be under way, healing must not be taken for final."""
        wanted = fault(inject="POST http://{flags}/hang", timeout=200)
        with pytest.raises(EnvironmentBroke, match=r"no answer within 0\.2 s"):
            driver.inject(wanted, driver.before(wanted))
        assert driver.settle_ns(wanted, {}) == 200_000_000

    def test_without_confirm_the_proof_says_so(self, driver: HttpFaults) -> None:
        """The status alone."""
        felt = driver.felt(fault(confirm=""), driver.before(fault(confirm="")))
        assert (felt.felt, "without `confirm` nothing shows" in felt.proof) == (True, True)

    def test_an_irreversible_fault_is_healed_by_nothing(self, driver: HttpFaults, flags: Flags) -> None:
        """Its effect stays; there is nothing to type either."""
        wanted = replace(fault(heal=""), irreversible=True)
        driver.check(wanted)
        before = driver.before(wanted)
        driver.inject(wanted, before)
        driver.heal(wanted, before)
        assert flags.on == {"/flags/x"}
        assert driver.by_hand(wanted, before) == ""

    def test_what_to_type_is_the_same_call(self, driver: HttpFaults, flags: Flags) -> None:
        """Body and headers included, in words that a shell takes apart again."""
        wanted = fault(heal_body="it's on", headers="X-Api: a b")
        words = shlex.split(driver.by_hand(wanted, driver.before(wanted)))
        assert words[:5] == ["curl", "-sS", "-i", "-X", "DELETE"]
        assert words[5:] == [
            *("-H", "Content-Type: text/plain", "-H", "X-Api: a b"),
            *("--data-binary", "it's on", f"http://{flags.address}/flags/x"),
        ]


class TestCheck:
    """What is refused before anything is touched."""

    @pytest.mark.parametrize(
        ("params", "why"),
        [
            ({"heal": ""}, "nothing says how to undo it"),
            ({"inject": "http://{flags}/x"}, "inject: expected a method and a URL such as POST http"),
            ({"heal": "SMASH http://{flags}/x"}, "heal: expected a method and a URL"),
            ({"confirm": "GET ftp://{flags}/x"}, "confirm: expected a method and a URL"),
            ({"confirm": "GET http://{nobody}/x"}, "confirm: expected a method and a URL"),
            ({"headers": "X-Api"}, "headers: expected `Name: value` on each line, got 'X-Api'"),
            ({"expect": "2xx"}, "expect: expected statuses such as 200-299,404, got '2xx'"),
        ],
    )
    def test_what_is_written_wrong(self, driver: HttpFaults, flags: Flags, params: dict[str, Scalar], why: str) -> None:
        """Said without a call."""
        with pytest.raises(BadInput, match=why):
            driver.check(fault(**params))
        assert not flags.asked

    def test_what_is_in_force_already(self, driver: HttpFaults, flags: Flags) -> None:
        """Somebody else's flag is not ours to take back."""
        driver.check(fault())
        flags.on.add("/flags/x")
        with pytest.raises(BadInput, match=r"in force already, says GET http://127.0.0.1:.*; that was not us"):
            driver.check(fault())


def test_the_log_hides_secrets(
    driver: HttpFaults, flags: Flags, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers are kept, without passwords, nor what the environment names as one."""
    monkeypatch.setenv("FLAG_TOKEN", "tomato-42")
    wanted = fault(inject="POST http://{flags}/flags/x?key=tomato-42", confirm="")
    driver.inject(wanted, driver.before(wanted))
    log = (tmp_path / "fault-off.log").read_text()
    assert "POST http://" in log
    assert "answered 200\nflags: /flags/x?key=***, password=***" in log
