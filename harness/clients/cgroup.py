"""What the kernel counts for one container, read from its cgroup files: 0.1 ms, where the Engine's API takes a second.

Only when the files are on this host and readable; version 1 (a folder per controller) and version 2 (one folder).
A counter that the kernel does not offer is None, never zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PROC = Path("/proc")
NO_LIMIT_BYTES = 1 << 60
"""Version 1 has no word for "no limit", but writes a number near 2^63."""

Text = Callable[[str, str], str]
"""(controller, file name) -> the file's text, empty when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """One reading. Counters grow while the container runs and begin anew when it is started again."""

    cpu_ns: int | None
    periods: int | None
    throttled_periods: int | None
    quota_cores: float | None
    cpus: int | None
    working_set_bytes: int | None
    limit_bytes: int | None
    oom_kills: int | None
    read_bytes: int | None
    write_bytes: int | None


def read(pid: int, container_id: str, *, root: Path = ROOT, proc: Path = PROC) -> Counters | None:
    """The counters of the container whose first process is `pid`; None when they cannot be read on this host.

    The process must be in a cgroup that carries the container's id: an Engine elsewhere has pids of its own.
    """
    try:
        own = _folders((proc / str(pid) / "cgroup").read_text(), container_id)
    except OSError:
        return None
    folders = {name: _of_container(path, container_id) for name, path in own.items()}
    if "memory" in folders:
        return version_1(_reader({name: root / name / path for name, path in folders.items()}))
    if "" in folders and (root / "cgroup.controllers").exists():
        return version_2(_reader({"": root / folders[""]}))
    return None


def seats(pid: int, container_id: str, *, root: Path = ROOT, proc: Path = PROC) -> tuple[Path, ...]:
    """The files to write a pid to for a seat in the cgroups of that container; none when they are not on this host.

    Version 1's freezer is left out: a frozen process cannot be killed, and version 1 does not thaw it for that.
    """
    try:
        folders = _folders((proc / str(pid) / "cgroup").read_text(), container_id)
    except OSError:
        return ()
    if "memory" in folders:
        named = {root / name / path for name, path in folders.items() if name not in {"", "freezer"}}
    else:
        named = {root / path for name, path in folders.items() if name == ""}
    return tuple(sorted({(each / "cgroup.procs").resolve() for each in named if (each / "cgroup.procs").exists()}))


def received_and_sent(pid: int, *, proc: Path = PROC) -> tuple[int, int] | None:
    """Bytes that the network namespace of a process took in and gave out, loopback left out; None when unreadable."""
    try:
        lines = (proc / str(pid) / "net" / "dev").read_text().splitlines()[2:]
    except OSError:
        return None
    rows = [line.replace(":", " ").split() for line in lines]
    outside = [row for row in rows if row[0] != "lo"]
    return sum(int(row[1]) for row in outside), sum(int(row[9]) for row in outside)


def version_1(text: Text) -> Counters:
    """The counters in version 1's files."""
    stat = _pairs(text("cpu", "cpu.stat"))
    memory = _pairs(text("memory", "memory.stat"))
    quota, period = _number(text("cpu", "cpu.cfs_quota_us")), _number(text("cpu", "cpu.cfs_period_us"))
    limit = _number(text("memory", "memory.limit_in_bytes"))
    io = _version_1_io(text("blkio", "blkio.throttle.io_service_bytes"))
    return Counters(
        cpu_ns=_number(text("cpuacct", "cpuacct.usage")),
        periods=stat.get("nr_periods"),
        throttled_periods=stat.get("nr_throttled"),
        quota_cores=quota / period if quota and period and quota > 0 else None,
        cpus=_count_cpus(text("cpuset", "cpuset.effective_cpus")),
        working_set_bytes=_less(_number(text("memory", "memory.usage_in_bytes")), memory.get("total_inactive_file")),
        limit_bytes=limit if limit is not None and limit < NO_LIMIT_BYTES else None,
        oom_kills=_pairs(text("memory", "memory.oom_control")).get("oom_kill"),
        read_bytes=io.get("Read"),
        write_bytes=io.get("Write"),
    )


def version_2(text: Text) -> Counters:
    """The counters in version 2's files."""
    stat = _pairs(text("", "cpu.stat"))
    quota, _, period = text("", "cpu.max").strip().partition(" ")
    limit = _number(text("", "memory.max"))  # the word max is no number
    io = _version_2_io(text("", "io.stat"))
    used_us = stat.get("usage_usec")
    return Counters(
        cpu_ns=None if used_us is None else used_us * 1000,
        periods=stat.get("nr_periods"),
        throttled_periods=stat.get("nr_throttled"),
        quota_cores=int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else None,
        cpus=_count_cpus(text("", "cpuset.cpus.effective")),
        working_set_bytes=_less(
            _number(text("", "memory.current")), _pairs(text("", "memory.stat")).get("inactive_file")
        ),
        limit_bytes=limit if limit is not None and limit < NO_LIMIT_BYTES else None,
        oom_kills=_pairs(text("", "memory.events")).get("oom_kill"),
        read_bytes=io.get("rbytes"),
        write_bytes=io.get("wbytes"),
    )


def _folders(lines: str, container_id: str) -> Mapping[str, str]:
    """Controller -> path below its mount of the cgroups that carry the container's id ("" is version 2)."""
    folders: dict[str, str] = {}
    for line in lines.splitlines():
        _, controllers, path = line.split(":", 2)
        if container_id in path:
            folders.update(dict.fromkeys(controllers.split(","), path.lstrip("/")))
    return folders


def _of_container(path: str, container_id: str) -> str:
    """The container's own cgroup, which has its limits; an init in it may have moved to one below."""
    parts = path.split("/")
    last = max(number for number, part in enumerate(parts) if container_id in part)
    return "/".join(parts[: last + 1])


def _reader(folders: Mapping[str, Path]) -> Text:
    def text(controller: str, name: str) -> str:
        try:
            return (folders[controller] / name).read_text()
        except (KeyError, OSError):
            return ""

    return text


def _number(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.removeprefix("-").isdecimal() else None


def _less(usage: int | None, inactive_file: int | None) -> int | None:
    """The working set: what is used, less the file cache that the kernel would give back first."""
    return None if usage is None else max(0, usage - (inactive_file or 0))


def _pairs(text: str) -> dict[str, int]:
    rows = (line.split() for line in text.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdecimal()}


def _count_cpus(text: str) -> int | None:
    """The size of a list such as 0-3,8."""
    ranges = [part.partition("-") for part in text.strip().split(",") if part]
    return sum(int(last or first) - int(first) + 1 for first, _, last in ranges) or None


def _version_1_io(text: str) -> dict[str, int]:
    """Sums over devices of lines such as `8:0 Read 4096`; `Total 0` alone means that nothing was counted yet."""
    rows = [line.split() for line in text.splitlines()]
    if not rows:
        return {}
    return {kind: sum(int(row[2]) for row in rows if len(row) == 3 and row[1] == kind) for kind in ("Read", "Write")}


def _version_2_io(text: str) -> dict[str, int]:
    """Sums over devices of lines such as `8:0 rbytes=4096 wbytes=0 ...`."""
    sums: dict[str, int] = {}
    for line in text.splitlines():
        for word in line.split()[1:]:
            name, _, value = word.partition("=")
            sums[name] = sums.get(name, 0) + int(value)
    return sums
