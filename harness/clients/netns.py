"""The door to a container's network namespace: iptables, tc and ip run in it from this host. Nothing is decided here.

The image needs nothing for it. Linux and root are needed, and an Engine whose containers are processes of this host.
Every command has a time limit; what fails raises EnvironmentBroke with the command's own words.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.errors import EnvironmentBroke

COMMAND_S = 5.0
LOCK_S = 3
"""How long iptables waits for another iptables, that of Docker say; below COMMAND_S."""
PROC = Path("/proc")
PROGRAMS = {
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "iptables": "iptables",
    "tc": "iproute2",
    "ip": "iproute2",
}
"""What is called, and the Debian package that has it."""
_PLACES = os.pathsep.join(("/usr/local/sbin", "/usr/sbin", "/sbin"))

Run = Callable[[Sequence[str], str], str]
"""(words of a command, its standard input) -> its standard output."""


class NotHereError(EnvironmentBroke):
    """The process is not, or not any more, one of that container on this host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """One network namespace. `tools` are the iptables of the address families that it has."""

    run: Run
    tools: tuple[str, ...]

    def rules(self, tool: str) -> str:
        """The filter table as the commands that would make it."""
        return self.run((tool, "-w", str(LOCK_S), "-S"), "")

    def restore(self, tool: str, text: str) -> None:
        """Change the rules that `text` names, all at once or none."""
        self.run((f"{tool}-restore", "-w", str(LOCK_S), "--noflush"), text)

    def counters(self, tool: str, chain: str) -> str:
        """The chain's rules as a table that begins with packets and bytes."""
        return self.run((tool, "-w", str(LOCK_S), "-L", chain, "-v", "-x", "-n"), "")

    def links(self) -> str:
        """The interfaces, as JSON."""
        return self.run(("ip", "-j", "link", "show"), "")

    def qdiscs(self) -> str:
        """The queueing disciplines and their counters, as JSON."""
        return self.run(("tc", "-j", "-s", "qdisc", "show"), "")

    def tc(self, *words: str) -> None:
        """Change a queueing discipline."""
        self.run(("tc", *words), "")


class Netns:
    """Enters network namespaces of containers on this host."""

    def missing(self) -> str:
        """Why no namespace can be entered here, with what to do, or the empty string."""
        if not PROC.joinpath("self/ns/net").exists():
            return "it needs Linux"
        if os.geteuid() != 0:
            return "it needs root: other users may not enter a container's network"
        lacking = [name for name in PROGRAMS if _found(name) is None]
        packages = " ".join(dict.fromkeys(PROGRAMS[name] for name in lacking))
        return f"there is no {', '.join(lacking)} here: apt-get install {packages}" if lacking else ""

    @contextmanager
    def enter(self, pid: int, container_id: str) -> Iterator[Namespace]:
        """The namespace of the container's first process; held open, so that a pid used again leads nowhere else.

        The process must be in a cgroup that carries the container's id (an Engine elsewhere has pids of its own), and
        in another namespace than we are: rules meant for a container must never meet this machine.
        """
        try:
            held = os.open(PROC / str(pid) / "ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except PermissionError as error:
            raise EnvironmentBroke(
                f"cannot enter the network of process {pid}: {error}", hint="run it as root"
            ) from error
        except OSError as error:
            raise _not_here(pid, container_id) from error
        try:
            if not _is_of(pid, container_id):
                raise _not_here(pid, container_id)
            if os.path.samestat(os.fstat(held), (PROC / "self/ns/net").stat()):
                raise EnvironmentBroke(
                    f"container {container_id[:12]} shares the network of this machine", hint="use a toxic on its link"
                )
            tools = ("iptables", "ip6tables") if (PROC / str(pid) / "net/if_inet6").exists() else ("iptables",)
            inside = ("nsenter", f"--net={PROC}/self/fd/{held}", "--")
            yield Namespace(run=lambda words, text: _run((*inside, *words), text, held), tools=tools)
        finally:
            os.close(held)

    def throw_away(self) -> Namespace:
        """An empty namespace, a new one for each command, to try what this kernel can do."""
        return Namespace(run=lambda words, text: _run(("unshare", "--net", "--", *words), text), tools=("iptables",))


def _is_of(pid: int, container_id: str) -> bool:
    try:
        return container_id in (PROC / str(pid) / "cgroup").read_text()
    except OSError:
        return False


def _not_here(pid: int, container_id: str) -> NotHereError:
    return NotHereError(
        f"process {pid} of container {container_id[:12]} is not on this host",
        hint="its Engine is elsewhere (DOCKER_HOST, a virtual machine), or it has just ended: use a toxic on its link",
    )


def _found(program: str) -> str | None:
    return shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", ""), _PLACES)))


def _run(words: Sequence[str], text: str, *held: int) -> str:
    """In a session of its own: a Ctrl-C in the terminal is for us, who will heal."""
    command = " ".join(words)
    env = {**os.environ, "PATH": os.pathsep.join((os.environ.get("PATH", ""), _PLACES)), "LC_ALL": "C"}
    try:
        done = subprocess.run(
            words,
            input=text,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            env=env,
            pass_fds=held,
            start_new_session=True,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentBroke(f"{command}: {error}", hint="look whether that program works here") from error
    if done.returncode:
        said = " ".join(done.stderr.split()) or "it says nothing"
        raise EnvironmentBroke(
            f"{command}: exit code {done.returncode}: {said}", hint="the words are that program's own"
        )
    return done.stdout
