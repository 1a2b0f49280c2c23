"""How much memory is left, where a control group has less than the machine."""

from __future__ import annotations

from pathlib import Path

import psutil

from harness.traffic.sizing.memory import available_bytes

MB = 1_000_000


def group(folder: Path, **files: str) -> None:
    """A control group's files; `__` stands for a dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="ascii")


def own(folder: Path, line: str) -> Path:
    """/proc/self/cgroup."""
    file = folder / "own"
    file.write_text(line + "\n", encoding="ascii")
    return file


def test_a_group_of_version_2_bounds_it_and_gives_back_its_cache(tmp_path: Path) -> None:
    """Limit less use, and file cache that nobody uses counts as free."""
    group(
        tmp_path / "a/b",
        memory__max=f"{100 * MB}",
        memory__current=f"{60 * MB}",
        memory__stat=f"anon 5\ninactive_file {20 * MB}\n",
    )
    assert available_bytes(tmp_path, own(tmp_path, "0::/a/b")) == 60 * MB


def test_the_tightest_group_above_counts(tmp_path: Path) -> None:
    """A parent may have less left than the group itself, which may have no limit."""
    group(tmp_path / "a/b", memory__max="max", memory__current="1")
    group(tmp_path / "a", memory__max=f"{50 * MB}", memory__current=f"{20 * MB}")
    assert available_bytes(tmp_path, own(tmp_path, "0::/a/b")) == 30 * MB


def test_a_group_of_version_1_bounds_it(tmp_path: Path) -> None:
    """By the memory controller's own tree."""
    group(tmp_path / "memory/x", memory__limit_in_bytes=f"{80 * MB}", memory__usage_in_bytes=f"{30 * MB}")
    assert available_bytes(tmp_path, own(tmp_path, "4:memory:/x")) == 50 * MB


def test_without_a_limit_it_is_the_machines(tmp_path: Path) -> None:
    """No group, or one without a limit (9223372036854771712 in version 1)."""
    group(tmp_path / "memory", memory__limit_in_bytes="9223372036854771712", memory__usage_in_bytes="1")
    for file in (own(tmp_path, "4:memory:/"), tmp_path / "none"):
        assert available_bytes(tmp_path, file) > 0.5 * psutil.virtual_memory().available
