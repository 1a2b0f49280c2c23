"""Command faults, with real commands on a file that stands for a feature flag."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from harness.clients.command import KEPT_BYTES, run
from harness.clients.poll import poll
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault, Scalar
from harness.faults import Before
from harness.faults.command import CommandFaults, healer
from harness.units import NS_PER_S

IN_TIME_NS = 10 * NS_PER_S
FLAG = {"inject": "touch flag", "heal": "rm -f flag", "confirm": "test -e flag", "timeout": 3000}
MARK = "harness-test-of-commands"


def fault(**params: Scalar) -> Fault:
    """A fault on `cache`, with the flag's parameters where the test says nothing else; "" leaves one out."""
    wanted = {key: value for key, value in {**FLAG, **params}.items() if value != ""}
    return Fault(
        name="off", driver="command", kind="run", on="cache", params=wanted, stage="s", after_ns=0, hold_ns=NS_PER_S
    )


@pytest.fixture
def driver(tmp_path: Path) -> CommandFaults:
    """A driver at work in `tmp_path`, which is its folder of logs too."""
    return CommandFaults(
        run="r1", cwd=str(tmp_path), log_dir=tmp_path, address_of={"cache": "127.0.0.1:6379"}.__getitem__
    )


def marked() -> list[int]:
    """The pids of what a test has started with MARK as a word."""
    found = (p for p in psutil.process_iter(["cmdline", "status"]) if p.info["status"] != psutil.STATUS_ZOMBIE)
    return [process.pid for process in found if MARK in (process.info["cmdline"] or ())]


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    yield
    left = marked()
    for pid in left:
        psutil.Process(pid).kill()
    assert not left


class TestSteps:
    """Inject, confirm, heal."""

    def test_heals_from_what_the_ledger_holds(self, driver: CommandFaults, tmp_path: Path) -> None:
        """The reaper has no run: folder and PATH are in `before`."""
        before = driver.before(fault())
        driver.inject(fault(), before)
        assert (tmp_path / "flag").exists()
        healer().heal(fault(), before)
        assert not (tmp_path / "flag").exists()

    def test_a_command_knows_for_what_it_is_called(self, driver: CommandFaults, tmp_path: Path) -> None:
        """One script may serve many faults and all three steps."""
        wanted = fault(
            shell=True, inject='echo "$HARNESS_RUN $HARNESS_FAULT $HARNESS_ON $HARNESS_ADDRESS $HARNESS_STEP" > flag'
        )
        driver.inject(wanted, driver.before(wanted))
        assert (tmp_path / "flag").read_text() == "r1 off cache 127.0.0.1:6379 inject\n"

    def test_no_shell_unless_asked(self, driver: CommandFaults, tmp_path: Path) -> None:
        """What means something to a shell is a plain word otherwise."""
        wanted = fault(inject="touch flag ; $(touch", confirm="")
        driver.inject(wanted, driver.before(wanted))
        assert {path.name for path in tmp_path.iterdir()} >= {"flag", ";", "$(touch"}

    def test_an_injection_that_has_no_effect_fails(self, driver: CommandFaults) -> None:
        """Exit code 0 is not enough when there is a `confirm`."""
        wanted = fault(inject="true", timeout=300)
        with pytest.raises(EnvironmentBroke, match="`true` exited with 0, but `confirm` still says no"):
            driver.inject(wanted, driver.before(wanted))

    def test_a_healing_that_has_no_effect_fails(self, driver: CommandFaults) -> None:
        """The read-back of healing is `confirm`, which must say no."""
        wanted = fault(heal="true", timeout=300)
        before = driver.before(wanted)
        driver.inject(wanted, before)
        with pytest.raises(EnvironmentBroke, match="`true` exited with 0, but `confirm` still says yes"):
            driver.heal(wanted, before)

    def test_an_effect_may_come_later(self, driver: CommandFaults) -> None:
        """`confirm` is asked again until the time is up."""
        wanted = fault(shell=True, inject="(sleep 0.3; touch flag) &")
        driver.inject(wanted, driver.before(wanted))
        assert driver.felt(wanted, driver.before(wanted)).felt

    def test_a_confirm_that_cannot_tell_is_no_no(self, driver: CommandFaults) -> None:
        """After healing, a `confirm` that is not found or is killed proves nothing."""
        before = driver.before(fault())
        for confirm in ("no-such-command-here", "sh -c 'kill -9 $$'"):
            with pytest.raises(EnvironmentBroke, match="which tells nothing"):
                driver.heal(fault(confirm=confirm, timeout=300), before)

    def test_without_confirm_the_proof_says_so(self, driver: CommandFaults) -> None:
        """The exit code alone."""
        felt = driver.felt(fault(confirm=""), driver.before(fault()))
        assert (felt.felt, "without `confirm` nothing shows" in felt.proof) == (True, True)

    def test_an_irreversible_fault_is_healed_by_nothing(self, driver: CommandFaults, tmp_path: Path) -> None:
        """Its effect stays; there is nothing to type either."""
        wanted = replace(fault(heal=""), irreversible=True)
        driver.check(wanted)
        before = driver.before(wanted)
        driver.inject(wanted, before)
        driver.heal(wanted, before)
        assert (tmp_path / "flag").exists()
        assert driver.by_hand(wanted, before) == ""

    def test_what_to_type_works(self, driver: CommandFaults, tmp_path: Path) -> None:
        """From any folder, with a shell's own words in it."""
        for heal, shell in ((f"rm -f flag '{MARK} it'", False), ("rm -f flag | cat", True)):
            wanted = fault(heal=heal, shell=shell)
            before = driver.before(wanted)
            driver.inject(wanted, before)
            subprocess.run(["sh", "-c", driver.by_hand(wanted, before)], cwd="/", check=True, timeout=10)
            assert not (tmp_path / "flag").exists()


class TestCheck:
    """What is refused before anything is touched."""

    def refused(self, driver: CommandFaults, wanted: Fault) -> str:
        """Why."""
        with pytest.raises(BadInput) as refusal:
            driver.check(wanted)
        return f"{refusal.value} ({refusal.value.hint})"

    def test_a_fault_whose_undo_is_not_known(self, driver: CommandFaults) -> None:
        """Unless that is accepted."""
        assert "nothing says how to undo it (give `heal`" in self.refused(driver, fault(heal=""))

    def test_what_is_in_force_already(self, driver: CommandFaults, tmp_path: Path) -> None:
        """Somebody else's flag is not ours to take back."""
        (tmp_path / "flag").touch()
        assert "in force already, says `test -e flag`; that was not us" in self.refused(driver, fault())

    def test_commands_that_are_not_there(self, driver: CommandFaults, tmp_path: Path) -> None:
        """By name or by path, and only those that no shell reads."""
        assert "heal: there is no command flagctl" in self.refused(driver, fault(heal="flagctl on"))
        assert "inject: there is no command ./flag.sh" in self.refused(driver, fault(inject="./flag.sh off"))
        script = tmp_path / "flag.sh"
        script.write_text("#!/bin/sh\n")
        script.chmod(0o755)
        driver.check(fault(inject="./flag.sh off"))
        driver.check(fault(shell=True, inject="flagctl off", confirm=""))


class TestTime:
    """A command that hangs holds nobody, and none goes on after its harness."""

    def test_what_hangs_is_ended_with_all_its_group(self, driver: CommandFaults) -> None:
        """Also what ignores SIGTERM, and the error has its last words."""
        script = f"trap '' TERM; echo at work; sleep 60 & sh -c 'trap \"\" TERM; sleep 60; sleep 60' {MARK}"
        wanted = fault(shell=True, inject=script, timeout=300)
        with pytest.raises(EnvironmentBroke, match=r"was ended: not done after 1\.\d s\n    at work"):
            driver.inject(wanted, driver.before(wanted))
        assert not marked()

    def test_a_command_ends_with_the_harness_that_waits_for_it(self) -> None:
        """After kill -9 of the harness nothing may take effect behind the back of the reaper."""
        code = (
            "from harness.clients.command import run\n"
            f"words = ['sh', '-c', 'sh -c \"sleep 60; true\" {MARK} & sleep 60', '{MARK}']\n"
            "run(words, cwd='', env={}, timeout_ns=60 * 10**9)"
        )
        harness = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
        try:
            assert poll(lambda: len(marked()) >= 3, IN_TIME_NS)  # the supervisor bears the words too
        finally:
            harness.send_signal(signal.SIGKILL)
            harness.wait(10)
        assert poll(lambda: not marked(), IN_TIME_NS)

    def test_what_a_command_leaves_running_is_left(self, driver: CommandFaults, tmp_path: Path) -> None:
        """A heal command may start a service; its output is not waited for."""
        ran = run(["sh", "-c", "sleep 60 & echo $!"], cwd="", env={}, timeout_ns=3 * NS_PER_S)
        left = psutil.Process(int(ran.output))
        assert (ran.code, left.is_running()) == (0, True)
        left.kill()

    def test_only_the_end_of_the_output_is_kept(self) -> None:
        """However much it prints."""
        ran = run(["sh", "-c", "yes | head -c 1000000; echo end"], cwd="", env={}, timeout_ns=IN_TIME_NS)
        assert (ran.code, len(ran.output), ran.output[-6:]) == (0, KEPT_BYTES, "y\nend\n")

    def test_it_hears_nothing(self) -> None:
        """A command that asks a question must not wait for an answer."""
        assert run(["cat"], cwd="", env={}, timeout_ns=IN_TIME_NS).code == 0

    def test_a_folder_that_has_gone_is_an_error_of_ours(self, tmp_path: Path) -> None:
        """With its name."""
        with pytest.raises(EnvironmentBroke, match="gone: cannot be started: No such file"):
            run(["true"], cwd=str(tmp_path / "gone"), env={}, timeout_ns=IN_TIME_NS)


class TestSecrets:
    """What is on disk for all to read shows none."""

    def test_output_and_errors_hide_them(
        self, driver: CommandFaults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Passwords by their look, and values of variables that are named like secrets wherever they stand."""
        monkeypatch.setenv("FLAG_TOKEN", "tomato-42")
        wanted = fault(inject="sh -c 'echo key is tomato-42, password=hunter2; exit 3' tomato-42")
        with pytest.raises(EnvironmentBroke) as broke:
            driver.inject(wanted, driver.before(wanted))
        log = (tmp_path / "fault-off.log").read_text()
        assert "exited with 3" in log
        assert "key is ***" in log
        assert not [secret for secret in ("tomato-42", "hunter2") if secret in log + str(broke.value)]

    def test_what_to_type_has_them(self, driver: CommandFaults) -> None:
        """It goes into the ledger, which nobody else may read; else it would not work."""
        wanted = fault(heal=shlex.join(["curl", "-H", "Authorization: Bearer abc", "http://127.0.0.1:9"]))
        assert "Bearer abc" in driver.by_hand(wanted, driver.before(wanted))

    def test_a_log_that_cannot_be_written_hinders_nothing(self, tmp_path: Path) -> None:
        """A full disk, or a folder that has gone."""
        driver = CommandFaults(run="r1", cwd=str(tmp_path), log_dir=tmp_path / "gone")
        before = driver.before(fault())
        driver.inject(fault(), before)
        driver.heal(fault(), before)
        assert not (tmp_path / "flag").exists()


def test_healing_ends_an_injection_that_is_still_at_work(driver: CommandFaults, tmp_path: Path) -> None:
    """A run that is stopped does not wait for it: it must not put the flag back after the healing took it away."""
    slow = fault(inject=f"sh -c 'touch begun; sleep 30; touch flag; : {MARK}'", timeout=60_000)
    before = driver.before(slow)
    injecting = threading.Thread(target=lambda: _inject(driver, slow, before))
    injecting.start()
    assert poll((tmp_path / "begun").exists, IN_TIME_NS)
    healer().heal(slow, before)
    injecting.join(10)
    assert not injecting.is_alive()
    assert not (tmp_path / "flag").exists()


def _inject(driver: CommandFaults, wanted: Fault, before: Before) -> None:
    with suppress(EnvironmentBroke):  # it is ended while we wait
        driver.inject(wanted, before)
