"""What this machine has for the harness: looked at, not guessed, each with what to do when it is not there."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass

WANTED_FILES = 20_000
WANTED_CORES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at. `needed`: without it nothing runs; else only some experiments need it, or as `ill` says."""

    what: str
    well: bool
    seen: str
    advice: str = ""
    needed: bool = False
    ill: str = "without"

    def __str__(self) -> str:
        mark = "ok" if self.well else ("missing" if self.needed else self.ill)
        lines = self.advice.splitlines() if not self.well else ()
        tail = "".join(f"\n{'':24}{line.strip()}" for line in lines)
        return f"{mark:7} {self.what:15} {self.seen}{tail}"


def examine() -> tuple[Finding, ...]:
    """Look at everything once; takes a few seconds, each outside call at most five."""
    machine = (_python(), _cores(), _files(), _clock())
    parts = (_locust(), _toxiproxy(), _docker(), _compose(), _plugins())
    return (*machine, *parts, _residue())


def _python() -> Finding:
    return Finding(what="Python", well=sys.version_info >= (3, 11), seen=sys.version.split()[0], needed=True)


def _cores() -> Finding:
    cores = os.cpu_count() or 1
    return Finding(
        what="cores",
        well=cores >= WANTED_CORES,
        seen=f"{cores}",
        advice="with one core, generator and target share it: windows will be called generator limited",
    )


def _files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Finding(
        what="open files",
        well=hard >= WANTED_FILES,
        seen=f"soft {soft}, hard {hard} (raised to the hard limit where needed)",
        advice=f"5,000 users through a proxy need about {WANTED_FILES:,}: raise it with ulimit -Hn",
    )


def _clock() -> Finding:
    late = []
    for _ in range(20):
        begun = time.monotonic_ns()
        time.sleep(0.005)
        late.append((time.monotonic_ns() - begun) / 1e6 - 5)
    worst = max(late)
    return Finding(
        what="clock",
        well=worst < 10,
        seen=f"a 5 ms sleep is up to {worst:.1f} ms late",
        advice="the machine is busy or throttled; latencies below that cannot be trusted",
    )


def _said(*command: str) -> str | None:
    """The first line that a command prints, or None when it is not there or fails."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return (done.stdout.strip().splitlines() or [""])[0] if done.returncode == 0 else None


def _locust() -> Finding:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return Finding(what="Locust", well=True, seen=version("locust"), needed=True)
    except PackageNotFoundError:
        return Finding(what="Locust", well=False, seen="not installed", advice="run: make setup", needed=True)


def _toxiproxy() -> Finding:
    seen = _said("toxiproxy-server", "-version")
    return Finding(
        what="Toxiproxy",
        well=seen is not None,
        seen=seen or "toxiproxy-server is not on PATH; the embedded server is used",
        advice="that is enough for most; the real one: go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0",
    )


def _docker() -> Finding:
    seen = _said("docker", "info", "--format", "Engine {{.ServerVersion}}, cgroup v{{.CgroupVersion}}")
    return Finding(
        what="Docker",
        well=seen is not None,
        seen=seen or "no Docker Engine answers",
        advice="container faults and compose stacks need it: install and start Docker; process stacks do without",
    )


def _compose() -> Finding:
    seen = _said("docker", "compose", "version", "--short") or _said("docker-compose", "version", "--short")
    return Finding(
        what="Compose",
        well=seen is not None,
        seen=seen or "neither `docker compose` nor `docker-compose`",
        advice="compose stacks need it: install the compose plugin of Docker",
    )


def _plugins() -> Finding:
    from harness.plugins import installed

    found = installed()
    offered = [f"{plugin.name} ({package})" for package, plugin in found.plugins]
    return Finding(
        what="fault plug-ins",
        well=not found.broken,
        seen=", ".join(offered) or "none",
        advice="\n".join(found.broken),
    )


def _residue() -> Finding:
    """Whether anything of ours is left in force somewhere: asked of Toxiproxy, Docker and the process table."""
    from harness.healing.residue import scan
    from harness.healing.unhealed import unhealed_note

    found, unhealed = scan(), unhealed_note().splitlines()
    others = [str(one) for one in found.seen if one not in found.left]
    unasked = [line.partition(": ")[0] for line in found.not_asked]
    words = [
        f"{len(found.left)} left" if found.left else ("may be left" if unhealed else "nothing of ours is left"),
        *(["not asked: " + ", ".join(unasked)] if unasked else []),
        *others,
    ]
    return Finding(
        what="target residue",
        well=not found.left and not unhealed,
        seen="; ".join(words),
        advice="\n".join([*map(str, found.left), *unhealed]),
        ill="left",
    )
