"""Fault kinds as data."""

# ruff: noqa: E501 - a message stands on one line, as users see it

from __future__ import annotations

import signal
import sys
from dataclasses import replace

import pytest

from harness.errors import EnvironmentBroke
from harness.loader.catalogue import CALLS, COMMON_KEYS, CONTAINERS, KINDS, PROCESSES, TOXICS, Kind, find, index
from harness.loader.catalogue.services import SIGNALS
from harness.loader.parameter import Param


def test_every_kind_of_the_catalogue_is_there() -> None:
    """The names that experiment files depend on."""
    assert [kind.name for kind in TOXICS] == [
        "latency", "bandwidth", "slow_close", "timeout", "reset_peer", "slicer", "limit_data", "down",
    ]  # fmt: skip
    states = ["kill", "stop", "restart", "pause"]
    assert [kind.name for kind in CONTAINERS] == [
        *states, "disconnect", "cpu", "memory", "partition", "loss", "dns", "rate", "delay",
        "stress-cpu", "stress-memory", "stress-io", "fill-disk",
    ]  # fmt: skip
    assert [kind.name for kind in PROCESSES] == [*states, "stress-cpu", "stress-memory", "open-files"]
    assert [(kind.key, kind.name) for kind in CALLS] == [("command", "run"), ("http", "call")]


@pytest.mark.skipif(sys.platform != "linux", reason="the list is that of Linux")
def test_every_signal_that_can_end_a_process_can_be_sent() -> None:
    """All that the platform knows, but for those that freeze a process or let it go on."""
    known = {number.name.removeprefix("SIG") for number in signal.Signals}
    assert known - set(SIGNALS) == {"STOP", "TSTP", "TTIN", "TTOU", "CONT"}
    assert set(SIGNALS) <= known


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.key}-{kind.name}")
def test_every_kind_says_all_that_a_person_must_know(kind: Kind) -> None:
    """No sentence is empty, and none ends in a full stop: they stand within longer ones."""
    for sentence in (kind.felt, kind.undo, kind.leaves, kind.new_connection, kind.held_connection):
        assert sentence
        assert not sentence.endswith(".")
    assert not {param.name for param in kind.params} & {*COMMON_KEYS, kind.key}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.key}-{kind.name}")
def test_every_default_can_be_read(kind: Kind) -> None:
    """A default is written like a person would write it, so it is read like that too."""
    for param in kind.params:
        if not param.required and param.default != "":
            param.read(param.default)


def param_of(driver: str, kind: str, name: str) -> Param:
    """One parameter of the catalogue."""
    found = find(driver, kind)
    assert found is not None
    return next(param for param in found.params if param.name == name)


@pytest.mark.parametrize(
    ("driver", "kind", "name", "written", "normal"),
    [
        ("toxiproxy", "latency", "latency", "200ms", 200),
        ("toxiproxy", "latency", "latency", "1.5s", 1500),
        ("toxiproxy", "latency", "jitter", "0ms", 0),
        ("toxiproxy", "bandwidth", "rate", "100KB/s", 100),
        ("toxiproxy", "bandwidth", "rate", "1MB/s", 1000),
        ("toxiproxy", "slicer", "average_size", "64B", 64),
        ("toxiproxy", "slicer", "delay", "500us", 500),
        ("toxiproxy", "slicer", "delay", "2ms", 2000),
        ("toxiproxy", "limit_data", "bytes", "1KiB", 1024),
        ("toxiproxy", "timeout", "timeout", "0s", 0),
        ("toxiproxy", "timeout", "toxicity", "30%", 0.3),
        ("toxiproxy", "timeout", "toxicity", 1, 1.0),
        ("toxiproxy", "timeout", "stream", "both", "both"),
        ("container", "kill", "signal", "SIGTERM", "TERM"),
        ("container", "kill", "signal", "hup", "HUP"),
        ("process", "kill", "signal", 9, "KILL"),
        ("container", "kill", "signal", "segv", "SEGV"),
        ("container", "cpu", "cpus", 0.1, 0.1),
        ("container", "memory", "limit", "64MB", 64_000_000),
        ("container", "disconnect", "network", "backend", "backend"),
    ],
)
def test_parameters_come_out_in_the_drivers_units(
    driver: str, kind: str, name: str, written: object, normal: object
) -> None:
    """Milliseconds, microseconds, KB/s and bytes as Toxiproxy and Docker want them."""
    found = param_of(driver, kind, name).read(written)
    assert found == normal
    assert type(found) is type(normal)


@pytest.mark.parametrize(
    ("driver", "kind", "name", "written", "message"),
    [
        ("toxiproxy", "latency", "latency", "500us", "expected a duration in whole milliseconds such as 200ms, got '500us'"),
        ("toxiproxy", "latency", "latency", "0ms", "expected at least 1 ms, got '0ms'"),
        ("toxiproxy", "latency", "latency", 200, "expected a duration such as 30s, 200ms or 1m30s, got 200"),
        ("toxiproxy", "latency", "latency", "9" * 50, "expected a duration in whole milliseconds such as 200ms, got a text of 50 characters"),
        ("toxiproxy", "bandwidth", "rate", "100KB", "expected a rate in whole KB/s such as 100KB/s, got '100KB'"),
        ("toxiproxy", "bandwidth", "rate", "0KB/s", "expected at least 1 KB/s, got '0KB/s'"),
        ("toxiproxy", "bandwidth", "rate", "100B/s", "expected a rate in whole KB/s such as 100KB/s, got '100B/s'"),
        ("toxiproxy", "limit_data", "bytes", 64, "expected a size such as 64MB or 512KiB, got 64"),
        ("toxiproxy", "down", "", None, ""),
        ("toxiproxy", "timeout", "toxicity", 0, "expected at least 0.0001, got 0"),
        ("toxiproxy", "timeout", "toxicity", 30, "expected at most 1.0, got 30"),
        ("toxiproxy", "timeout", "toxicity", float("nan"), "expected a share from 0 to 1 or a percentage such as 30%, got nan"),
        ("toxiproxy", "timeout", "toxicity", True, "expected a share from 0 to 1 or a percentage such as 30%, got True"),
        ("toxiproxy", "timeout", "stream", "upstraem", "expected one of upstream, downstream, both, got 'upstraem'; did you mean upstream?"),
        ("container", "cpu", "cpus", 0, "expected at least 0.01, got 0"),
        ("container", "cpu", "cpus", "1", "expected a number such as 0.5, got '1'"),
        ("container", "memory", "limit", "1MB", "expected at least 6291456 bytes, got '1MB'"),
        ("container", "kill", "signal", "KIL", f"expected one of {', '.join(SIGNALS)}, got 'KIL'; did you mean KILL?"),
        ("container", "kill", "signal", 99, f"expected one of {', '.join(SIGNALS)}, got 99"),
        ("container", "kill", "signal", True, f"expected one of {', '.join(SIGNALS)}, got True"),
        ("process", "kill", "signal", 19, f"expected one of {', '.join(SIGNALS)}, got 'STOP'"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_refused(driver: str, kind: str, name: str, written: object, message: str) -> None:
    """What would do nothing, or something else than was meant, never reaches a driver."""
    if not name:
        assert find(driver, kind).params == ()  # type: ignore[union-attr]
        return
    with pytest.raises(ValueError, match="expected") as caught:
        param_of(driver, kind, name).read(written)
    assert str(caught.value) == message


def test_a_toxic_turns_one_knob_in_each_direction() -> None:
    """Latency up and latency down do not fight; `both` fights with either; `down` is a state."""
    latency, down = find("toxiproxy", "latency"), find("toxiproxy", "down")
    assert latency is not None
    assert down is not None
    assert latency.knobs({"stream": "upstream"}) == {"latency/upstream"}
    assert latency.knobs({"stream": "both"}) == {"latency/upstream", "latency/downstream"}
    assert down.knobs({}) == {"state"}


def test_a_kind_of_a_plug_in_is_added_and_never_replaces_one_of_ours() -> None:
    """Two kinds of one name, or a parameter with the name of a common key, are the plug-in's error."""
    ours = KINDS[0]
    theirs = replace(ours, driver="gpu", name="throttle", params=())
    assert index((*KINDS, theirs))["gpu", "throttle"] is theirs
    assert find("gpu", "throttle", (theirs,)) is theirs
    assert find("gpu", "throttle") is None
    with pytest.raises(EnvironmentBroke, match="toxic: latency is offered twice"):
        index((*KINDS, ours))
    with pytest.raises(EnvironmentBroke, match="gpu: throttle has a parameter after"):
        index((replace(theirs, params=(Param(name="after", unit="word", doc="x"),)),))
