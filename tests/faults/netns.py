"""A network namespace in memory: packet filter and queueing disciplines as the real programs show them.

`calls` are the commands that were given; from `fails_from` on each fails, with or without having had its effect.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from harness.clients.netns import Namespace, NotHereError
from harness.errors import EnvironmentBroke

BUILT_IN = ("INPUT", "FORWARD", "OUTPUT")


class DeadError(Exception):
    """Whoever gave the command has died."""


class FakeNetns:
    """The calls of `harness.clients.netns.Netns` on one container `pid`."""

    def __init__(self, pid: int = 7, *, devices: Sequence[str] = ("eth0", "eth1"), unknown: str = "") -> None:
        self.pid = pid
        self.tables = {tool: {name: list[str]() for name in BUILT_IN} for tool in ("iptables", "ip6tables")}
        self.roots = {name: ["noqueue", "0:"] for name in ("lo", *devices)}
        self.unknown = unknown
        self.why_not = ""
        self.packets = 0
        self.calls: list[str] = []
        self.rehearsed: list[str] = []
        self.dies_at: int | None = None
        self.dies_after_effect = False

    def missing(self) -> str:
        """As a test sets it."""
        return self.why_not

    @contextmanager
    def enter(self, pid: int, container_id: str) -> Iterator[Namespace]:
        """Only by the pid that there is."""
        if pid != self.pid:
            raise NotHereError(f"process {pid} of container {container_id[:12]} is not on this host")
        yield Namespace(run=self._run, tools=("iptables", "ip6tables"))

    def throw_away(self) -> Namespace:
        """A new one for each command, of the same kernel."""

        def run(words: Sequence[str], text: str) -> str:
            self.rehearsed.append(" ".join(words))
            return FakeNetns(unknown=self.unknown)._obey(words, text)

        return Namespace(run=run, tools=("iptables",))

    def state(self) -> object:
        """All that can be changed."""
        return json.loads(json.dumps([self.tables, self.roots]))

    def _run(self, words: Sequence[str], text: str) -> str:
        dying = self.dies_at is not None and len(self.calls) + 1 >= self.dies_at
        self.calls.append(" ".join(words))
        if dying and not self.dies_after_effect:
            raise DeadError
        said = self._obey(words, text)
        if dying:
            raise DeadError
        return said

    def _obey(self, words: Sequence[str], text: str) -> str:
        if self.unknown and (self.unknown in words or self.unknown in text):
            raise EnvironmentBroke(f"{' '.join(words)}: {self.unknown} is unknown")
        if words[0] == "ip":
            return json.dumps([{"ifname": name, "mtu": 1500} for name in self.roots])
        if words[0] == "tc":
            return self._tc(words[1:])
        tool = words[0].removesuffix("-restore")
        if words[0].endswith("-restore"):
            self._restore(tool, text.splitlines())
            return ""
        if "-L" in words:
            chain = words[words.index("-L") + 1]
            rows = [f"{self.packets} {60 * self.packets} {rule}" for rule in self.tables[tool][chain]]
            return "\n".join((f"Chain {chain} (2 references)", "pkts bytes target", *rows))
        return self._listing(tool)

    def _listing(self, tool: str) -> str:
        table = self.tables[tool]
        lines = [f"-P {name} ACCEPT" for name in BUILT_IN] + [f"-N {name}" for name in table if name not in BUILT_IN]
        return "\n".join(lines + [f"-A {name} {rule}" for name, rules in table.items() for rule in rules])

    def _restore(self, tool: str, lines: Sequence[str]) -> None:
        """All or nothing, as the real one."""
        table = {name: list(rules) for name, rules in self.tables[tool].items()}
        assert (lines[0], lines[-1]) == ("*filter", "COMMIT")
        for line in lines[1:-1]:
            word, _, rest = line.partition(" ")
            chain, _, rule = rest.partition(" ")
            if word.startswith(":"):
                table[word[1:]] = []
            elif word == "-X":
                if table[chain] or any(f"-j {chain}" in rule for rules in table.values() for rule in rules):
                    raise EnvironmentBroke(f"CHAIN_DEL failed (Device or resource busy): chain {chain}")
                del table[chain]
            elif word == "-F":
                table[chain].clear()
            elif word == "-D":
                table[chain].remove(rule)
            else:
                table[chain].insert(0 if word == "-I" else len(table[chain]), rule)
        self.tables[tool] = table

    def _tc(self, words: Sequence[str]) -> str:
        if "show" in words:
            counted = {"packets": self.packets, "overlimits": self.packets, "drops": 0}
            return json.dumps(
                [{"kind": k, "handle": h, "dev": dev, "root": True, **counted} for dev, (k, h) in self.roots.items()]
            )
        _, verb, _, device, _, _, handle = words[:7]
        if verb == "add":
            if self.roots[device][1] != "0:":
                raise EnvironmentBroke("RTNETLINK answers: File exists")
            self.roots[device] = [words[7], handle]
        elif self.roots[device][1] == handle:
            self.roots[device] = ["noqueue", "0:"]
        else:
            raise EnvironmentBroke("Error: Invalid handle.")
        return ""
