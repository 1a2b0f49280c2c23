"""Reading cgroup files of both versions, from literal files."""

from __future__ import annotations

from pathlib import Path

from harness.clients import cgroup
from harness.clients.cgroup import Counters, received_and_sent

ID = "c0ffee" * 10
V1 = {
    "cpu/docker/{id}/cpu.stat": "nr_periods 40\nnr_throttled 30\nthrottled_time 900\n",
    "cpu/docker/{id}/cpu.cfs_quota_us": "50000\n",
    "cpu/docker/{id}/cpu.cfs_period_us": "100000\n",
    "cpuacct/docker/{id}/cpuacct.usage": "123456789\n",
    "cpuset/docker/{id}/cpuset.effective_cpus": "0-2,7\n",
    "memory/docker/{id}/memory.stat": "cache 5\ntotal_inactive_file 3000\n",
    "memory/docker/{id}/memory.usage_in_bytes": "10000\n",
    "memory/docker/{id}/memory.limit_in_bytes": "67108864\n",
    "memory/docker/{id}/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "blkio/docker/{id}/blkio.throttle.io_service_bytes": "8:0 Read 10\n8:0 Write 20\n8:16 Read 5\nTotal 35\n",
}
V2 = {
    "cgroup.controllers": "cpu memory io\n",
    "docker/{id}/cpu.stat": "usage_usec 123456\nnr_periods 40\nnr_throttled 30\nthrottled_usec 9\n",
    "docker/{id}/cpu.max": "50000 100000\n",
    "docker/{id}/cpuset.cpus.effective": "0-2,7\n",
    "docker/{id}/memory.stat": "anon 5\ninactive_file 3000\n",
    "docker/{id}/memory.current": "10000\n",
    "docker/{id}/memory.max": "67108864\n",
    "docker/{id}/memory.events": "low 0\noom 3\noom_kill 2\n",
    "docker/{id}/io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n8:16 rbytes=5 wbytes=0\n",
}
V1_PATHS = "\n".join(
    f"{n}:{name}:/docker/{ID}" for n, name in enumerate(["cpu", "cpuacct", "cpuset", "memory", "blkio"])
)
EXPECTED = Counters(
    cpu_ns=123456789,
    periods=40,
    throttled_periods=30,
    quota_cores=0.5,
    cpus=4,
    working_set_bytes=7000,
    limit_bytes=67108864,
    oom_kills=2,
    read_bytes=15,
    write_bytes=20,
)


def write(root: Path, files: dict[str, str]) -> Path:
    """A tree of files."""
    for name, text in files.items():
        path = root / name.format(id=ID)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def read(tmp_path: Path, files: dict[str, str], paths: str) -> Counters | None:
    """The counters of pid 7, whose cgroups are `paths`."""
    root, proc = write(tmp_path / "cgroup", files), write(tmp_path / "proc", {"7/cgroup": paths})
    return cgroup.read(7, ID, root=root, proc=proc)


def test_version_1(tmp_path: Path) -> None:
    """A folder for each controller."""
    assert read(tmp_path, V1, f"{V1_PATHS}\n9:name=systemd:/x\n0::/docker/{ID}") == EXPECTED


def test_version_2(tmp_path: Path) -> None:
    """One folder, and CPU time in microseconds."""
    seen = read(tmp_path, V2, f"0::/docker/{ID}")
    assert seen is not None
    assert (seen.cpu_ns, EXPECTED.cpu_ns) == (123456000, 123456789)
    assert seen.working_set_bytes == EXPECTED.working_set_bytes
    assert (seen.quota_cores, seen.cpus, seen.limit_bytes, seen.oom_kills) == (0.5, 4, 67108864, 2)
    assert (seen.read_bytes, seen.write_bytes) == (15, 20)


def test_no_limit_in_the_words_of_each_version(tmp_path: Path) -> None:
    """-1 and a number near 2^63; the word max."""
    free_1 = {
        **V1,
        "cpu/docker/{id}/cpu.cfs_quota_us": "-1\n",
        "memory/docker/{id}/memory.limit_in_bytes": "9223372036854771712\n",
    }
    free_2 = {**V2, "docker/{id}/cpu.max": "max 100000\n", "docker/{id}/memory.max": "max\n"}
    for number, (files, paths) in enumerate(((free_1, V1_PATHS), (free_2, f"0::/docker/{ID}"))):
        seen = read(tmp_path / str(number), files, paths)
        assert seen is not None
        assert (seen.quota_cores, seen.limit_bytes) == (None, None)


def test_missing_files_are_none_and_not_zero(tmp_path: Path) -> None:
    """A kernel without the io controller, say."""
    seen = read(tmp_path, {"cgroup.controllers": "", "docker/{id}/memory.current": "5"}, f"0::/docker/{ID}")
    assert seen is not None
    assert seen.working_set_bytes == 5
    assert {seen.cpu_ns, seen.periods, seen.oom_kills, seen.read_bytes, seen.cpus, seen.limit_bytes} == {None}


def test_an_init_that_moved_below_has_its_containers_limits(tmp_path: Path) -> None:
    """systemd in a container leaves its cgroup for init.scope, whose memory.max says max; a seat is where it sits."""
    scope = "system.slice/docker-{id}.scope"
    files = {
        "cgroup.controllers": "",
        f"{scope}/memory.max": "1000",
        f"{scope}/init.scope/memory.max": "max",
        f"{scope}/init.scope/cgroup.procs": "",
    }
    paths = f"0::/{scope.format(id=ID)}/init.scope"
    seen = read(tmp_path, files, paths)
    assert seen is not None
    assert seen.limit_bytes == 1000
    (seat,) = cgroup.seats(7, ID, root=tmp_path / "cgroup", proc=tmp_path / "proc")
    assert seat.parent.name == "init.scope"


def test_a_pid_of_another_host_is_not_read(tmp_path: Path) -> None:
    """The Engine is elsewhere, and the number is some process of ours."""
    assert read(tmp_path, V2, "0::/user.slice/other") is None
    assert cgroup.read(8, ID, root=tmp_path, proc=tmp_path) is None


def test_network_bytes_without_loopback(tmp_path: Path) -> None:
    """Two heading lines, then an interface a line; a name may touch its colon's number."""
    head = "Inter-| Receive\n face |bytes\n"
    rows = "    lo: 900 1 0 0 0 0 0 0 900 1 0 0 0 0 0 0\n  eth0:100 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n"
    write(tmp_path, {"7/net/dev": f"{head}{rows}"})
    assert received_and_sent(7, proc=tmp_path) == (100, 7)
    assert received_and_sent(8, proc=tmp_path) is None
