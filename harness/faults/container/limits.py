"""Faults of a container's limits: CPU and memory. They survive its restart, so the id is identity enough.

The Engine ignores a zero, so "no limit" is written -1 for a CPU quota, and a number near 2^63 for memory. Read back
they all mean the same, and are compared so: `_same`.

A limit that is neither the one before nor ours has been set by somebody else since, and is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from harness.clients import cgroup
from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault
from harness.faults import Before, Felt
from harness.faults.container.facts import Container
from harness.faults.container.hands import Hands
from harness.faults.container.state import refuse_lost_ports, refuse_unaccepted_loss
from harness.journal import Json
from harness.units import format_bytes

Limits = Mapping[str, int]

PERIOD_US = 100_000
"""The kernel's period when none was asked for."""
LEAST_MEMORY_BYTES = 6 << 20
"""The Engine refuses less."""
NO_MEMORY_LIMIT_BYTES = 1 << 62
NO_SWAP_LIMIT_BYTES = (1 << 63) - 4096
"""More than the memory limit: cgroup version 2 is given the difference, and none would mean no swap at all."""
_UNLIMITED_FROM = 1 << 60


class _Limit:
    """What CPU and memory share: set, read back, restore."""

    names: tuple[str, ...]

    def __init__(self, hands: Hands) -> None:
        self._hands = hands

    def before(self, now: Container, fault: Fault) -> Mapping[str, Json]:  # noqa: ARG002 - the contract's shape
        return {"limits": {name: now.limits[name] for name in self.names}}

    def inject(self, now: Container, fault: Fault, before: Before) -> None:
        self._set(now, self.ours(fault, _limits(before)), f"fault {fault.name}")

    def heal(self, now: Container, fault: Fault, before: Before) -> None:
        if self.in_force(now, fault, before) and not _same(now.limits, _limits(before)):
            self._set(now, self.restored(_limits(before)), "healing")

    def in_force(self, now: Container, fault: Fault, before: Before) -> bool:
        return _same(now.limits, self.ours(fault, _limits(before)))

    def unlike(self, now: Container, fault: Fault, before: Before) -> tuple[str, ...]:
        if not self.in_force(now, fault, before) or _same(now.limits, _limits(before)):
            return ()
        return (f"container {now.name} still has the limit of {fault.name} ({self.by_hand(fault, before)})",)

    def by_hand(self, fault: Fault, before: Before) -> str:  # noqa: ARG002 - the contract's shape
        options = " ".join(self.option(name, value) for name, value in self.restored(_limits(before)).items())
        return f"docker update {options} {before['id']}"

    def option(self, name: str, value: int) -> str:
        """A limit as an option of `docker update`."""
        raise NotImplementedError

    def ours(self, fault: Fault, before: Limits) -> Limits:
        """The limits that the fault sets, given those before."""
        raise NotImplementedError

    def restored(self, before: Limits) -> Limits:
        """The limits before, in words that the Engine does not ignore."""
        raise NotImplementedError

    def _set(self, now: Container, limits: Limits, doing: str) -> None:
        self._hands.do(
            lambda: self._hands.docker.update(now.id, limits),
            now.id,
            lambda c: _same(c.limits, limits),
            failed=f"{doing}: container {now.name} does not have the limits {dict(limits)}",
            hint=f"docker update --help; docker inspect {now.name}",
        )


class Cpu(_Limit):
    """A ceiling on CPU time, in cores. Felt when the kernel has throttled the container."""

    names = ("NanoCpus", "CpuQuota", "CpuPeriod")

    def check(self, now: Container, fault: Fault) -> None:
        """Refuse a ceiling that is no lower than the one it has."""
        has = cores(now.limits)
        if has is not None and _cpus(fault) >= has:
            raise BadInput(
                f"fault {fault.name}: container {now.name} is limited to {has:g} cores already",
                hint=f"ask for less than {has:g} `cpus`",
            )

    def before(self, now: Container, fault: Fault) -> Mapping[str, Json]:
        """The limits, and how often it had been throttled by then."""
        counters = cgroup.read(now.pid, now.id)
        return {**super().before(now, fault), "throttled_periods": counters.throttled_periods if counters else None}

    def ours(self, fault: Fault, before: Limits) -> Limits:
        """In the words that the container uses already: the Engine refuses a quota beside NanoCpus."""
        if before["NanoCpus"] > 0:
            return {"NanoCpus": round(_cpus(fault) * 1e9)}
        return {"CpuQuota": round(_cpus(fault) * (before["CpuPeriod"] or PERIOD_US))}

    def restored(self, before: Limits) -> Limits:
        """A quota of -1 is none."""
        if before["NanoCpus"] > 0:
            return {"NanoCpus": before["NanoCpus"]}
        return {"CpuQuota": before["CpuQuota"] if before["CpuQuota"] > 0 else -1}

    def option(self, name: str, value: int) -> str:
        """In cores, or as a quota."""
        return f"--cpus {value / 1e9:g}" if name == "NanoCpus" else f"--cpu-quota {value}"

    def felt(self, now: Container, fault: Fault, before: Before) -> Felt:
        """In force, and the kernel has held the container back: a ceiling that it never met did nothing."""
        if not self.in_force(now, fault, before):
            return Felt(felt=False, proof=f"{now.name} is limited to {cores(now.limits)} cores, not by us")
        counters = cgroup.read(now.pid, now.id)
        if counters is None or counters.throttled_periods is None:
            return Felt(felt=True, proof=f"quota of {_cpus(fault):g} cores read back; throttling cannot be read here")
        base = cast(int | None, before.get("throttled_periods")) if now.same_start(before) else 0
        grown = counters.throttled_periods - (base or 0)
        return Felt(felt=grown > 0, proof=f"{now.name} was throttled in {grown} periods at {_cpus(fault):g} cores")


class Memory(_Limit):
    """A ceiling on memory, swap included. Felt when it is in force, or the kernel has killed for it."""

    names = ("Memory", "MemorySwap")

    def check(self, now: Container, fault: Fault) -> None:
        """Refuse a ceiling that the Engine refuses, that is none, or that is below what is used now.

        Above it the kernel kills, as `kill` does: what is lost with the container's end must be accepted.
        """
        if _bytes(fault) < LEAST_MEMORY_BYTES:
            raise BadInput(
                f"fault {fault.name}: a memory limit of {format_bytes(_bytes(fault))} is below Docker's least",
                hint=f"at least {LEAST_MEMORY_BYTES} bytes (6 MiB)",
            )
        has = _plain(now.limits["Memory"])
        if has and _bytes(fault) >= has:
            raise BadInput(
                f"fault {fault.name}: container {now.name} is limited to {format_bytes(has)} already",
                hint="ask for less",
            )
        self._refuse_below_use(now, fault)
        refuse_unaccepted_loss(now, fault)
        refuse_lost_ports(now, fault)

    def before(self, now: Container, fault: Fault) -> Mapping[str, Json]:
        """The limits; once more seen that they are above what is used."""
        self._refuse_below_use(now, fault)
        return super().before(now, fault)

    def ours(self, fault: Fault, before: Limits) -> Limits:  # noqa: ARG002 - the contract's shape
        """Both together: a memory limit above the swap limit is refused."""
        return {"Memory": _bytes(fault), "MemorySwap": _bytes(fault)}

    def in_force(self, now: Container, fault: Fault, before: Before) -> bool:  # noqa: ARG002
        """By the memory limit alone: a kernel that does not count swap keeps no swap limit."""
        return now.limits["Memory"] == _bytes(fault)

    def restored(self, before: Limits) -> Limits:
        """Numbers near 2^63 are none."""
        return {
            "Memory": _plain(before["Memory"]) or NO_MEMORY_LIMIT_BYTES,
            "MemorySwap": _plain(before["MemorySwap"]) or NO_SWAP_LIMIT_BYTES,
        }

    def option(self, name: str, value: int) -> str:
        """In bytes."""
        return f"{'--memory' if name == 'Memory' else '--memory-swap'} {value}b"

    def heal(self, now: Container, fault: Fault, before: Before) -> None:
        """Restore the limit, then start the container if the kernel killed it for ours."""
        super().heal(now, fault, before)
        self._hands.start_if_killed(now, before)

    def by_hand(self, fault: Fault, before: Before) -> str:
        """The container too, in case it was killed."""
        return f"{super().by_hand(fault, before)}; docker start {before['id']}"

    def felt(self, now: Container, fault: Fault, before: Before) -> Felt:
        """The limit read back from the kernel where possible, else from Docker."""
        limit = format_bytes(_bytes(fault))
        if now.oom_killed and not now.running:
            return Felt(felt=True, proof=f"{now.name} was killed by the kernel at its limit of {limit}")
        counters = cgroup.read(now.pid, now.id)
        if counters is None or counters.working_set_bytes is None:
            return Felt(felt=self.in_force(now, fault, before), proof=f"limit of {limit} read back from Docker")
        felt = self.in_force(now, fault, before) and counters.limit_bytes is not None
        used = format_bytes(counters.working_set_bytes)
        return Felt(felt=felt, proof=f"{now.name} uses {used} of {limit} (kernel: {counters.limit_bytes} bytes)")

    def _refuse_below_use(self, now: Container, fault: Fault) -> None:
        counters = cgroup.read(now.pid, now.id)
        used = counters.working_set_bytes if counters is not None else None
        if used is not None and _bytes(fault) < used:
            raise EnvironmentBroke(
                f"fault {fault.name}: container {now.name} uses {format_bytes(used)} now; a limit of "
                f"{format_bytes(_bytes(fault))} would be refused, or kill it at once",
                hint="choose a limit above that, or `container: kill` if that is what you mean",
            )


def cores(limits: Limits) -> float | None:
    """The CPU ceiling that limits express, None when there is none."""
    if limits["NanoCpus"] > 0:
        return limits["NanoCpus"] / 1e9
    return limits["CpuQuota"] / (limits["CpuPeriod"] or PERIOD_US) if limits["CpuQuota"] > 0 else None


def _same(now: Limits, wanted: Limits) -> bool:
    """Whether the limits that `wanted` names are in force, "no limit" in all its spellings being one."""
    names = [name for name in wanted if name != "MemorySwap"]  # kernels without swap accounting keep none
    return all(_plain(now[name]) == _plain(wanted[name]) for name in names)


def _plain(limit: int) -> int:
    return 0 if limit <= 0 or limit >= _UNLIMITED_FROM else limit


def _limits(before: Before) -> Limits:
    return cast(Limits, before["limits"])


def _cpus(fault: Fault) -> float:
    return float(fault.params["cpus"])


def _bytes(fault: Fault) -> int:
    return int(fault.params["limit"])
