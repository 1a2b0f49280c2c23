"""The scenario as an archive: what goes, what never goes, and that nothing gets out of its folder."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from harness.errors import BadInput
from harness.traffic.hosts import shipment
from harness.traffic.hosts.shipment import inside, pack, unpack


def write(path: Path, text: str = "x") -> Path:
    """A file with the folders it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def names(folder: Path) -> set[str]:
    """The files below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_scenario_goes_with_its_modules_and_data(tmp_path: Path) -> None:
    """And arrives as it was, beside the experiment's own folder."""
    scenario = write(tmp_path / "exp/scenarios/mix.py", "import lib.words")
    for name in ("lib/words.py", "lib/__init__.py", "users.csv", "api.proto"):
        write(tmp_path / "exp/scenarios" / name, name)
    data = write(tmp_path / "exp/data/body.bin", "B")
    packed = pack(scenario, tmp_path / "exp", [data])
    unpack(packed.archive, tmp_path / "there")
    expected = {"mix.py", "lib/words.py", "lib/__init__.py", "users.csv", "api.proto"}
    assert names(tmp_path / "there") == {f"scenarios/{name}" for name in expected} | {"data/body.bin"}
    assert (packed.scenario, packed.base, packed.files) == ("scenarios/mix.py", ".", 6)
    assert (tmp_path / "there/scenarios/lib/words.py").read_text() == "lib/words.py"


def test_a_scenario_beside_the_experiment_s_folder_keeps_its_place(tmp_path: Path) -> None:
    """`../scenarios/mix.py` is found from where the experiment is."""
    scenario = write(tmp_path / "scenarios/mix.py")
    (tmp_path / "experiments").mkdir()
    packed = pack(scenario, tmp_path / "experiments")
    assert (packed.scenario, packed.base) == ("scenarios/mix.py", "experiments")


def test_what_is_none_of_the_workers_business_stays(tmp_path: Path) -> None:
    """Hidden files, environments, caches, results, links, and what is no data."""
    scenario = write(tmp_path / "mix.py")
    for name in (".env.json", ".git/x.py", "__pycache__/mix.py", "results/run/journal.json", "id_rsa", "movie.mp4"):
        write(tmp_path / name)
    write(tmp_path / "own/pyvenv.cfg")
    write(tmp_path / "own/lib/thing.py")
    secret = write(tmp_path.parent / f"{tmp_path.name}-elsewhere.py")
    (tmp_path / "link.py").symlink_to(secret)
    packed = pack(scenario, tmp_path)
    unpack(packed.archive, tmp_path / "there")
    assert names(tmp_path / "there") == {"mix.py"}


def test_declared_traffic_ships_only_what_it_names(tmp_path: Path) -> None:
    """Without a scenario, nothing but the data goes; a file that is not there is named."""
    data = write(tmp_path / "data/users.csv")
    write(tmp_path / "other.py")
    packed = pack(None, tmp_path, [data])
    assert (packed.scenario, packed.files) == ("", 1)
    with pytest.raises(BadInput, match=r"gone.csv: no such file"):
        pack(None, tmp_path, [tmp_path / "gone.csv"])


def test_too_much_is_refused_with_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By bytes and by number of files."""
    scenario = write(tmp_path / "mix.py", "x" * 100)
    write(tmp_path / "big.csv", "y" * 3000)
    monkeypatch.setattr(shipment, "MOST_BYTES", 2000)
    with pytest.raises(BadInput, match="too much to send"):
        pack(scenario, tmp_path)
    monkeypatch.setattr(shipment, "MOST_BYTES", 10_000)
    monkeypatch.setattr(shipment, "MOST_FILES", 1)
    with pytest.raises(BadInput, match="too much to send"):
        pack(scenario, tmp_path)


def archive(*members: tarfile.TarInfo) -> bytes:
    """A tar of these members, each with a byte when it is a file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for member in members:
            member.size = 1 if member.isreg() else 0
            made.addfile(member, io.BytesIO(b"!") if member.isreg() else None)
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """A member of an archive."""
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


@pytest.mark.parametrize(
    "bad",
    [
        (member("/etc/evil"),),
        (member("../evil"),),
        (member("a/../../evil"),),
        (member("evil", tarfile.SYMTYPE, "/etc"),),
        (member("evil", tarfile.LNKTYPE, "/etc/passwd"),),
        (member("evil", tarfile.FIFOTYPE),),
        (member("evil", tarfile.CHRTYPE),),
        (member("folder", tarfile.DIRTYPE),),
        (member("out", tarfile.SYMTYPE, ".."), member("out/evil")),
        (member("twice"), member("twice")),
        (member("a\\..\\evil"),),
    ],
)
def test_nothing_gets_out_of_its_folder(tmp_path: Path, bad: tuple[tarfile.TarInfo, ...]) -> None:
    """Absolute names, climbing ones, links, devices, and the same name twice are refused."""
    place = tmp_path / "place"
    place.mkdir()
    with pytest.raises(ValueError, match=r"plain file|stay in its folder|cannot be unpacked"):
        unpack(archive(*bad), place)
    assert names(tmp_path) <= {"place/twice"}


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    """As is one that would fill the disk."""
    with pytest.raises(ValueError, match="cannot be unpacked"):
        unpack(b"no tar at all" * 100, tmp_path)
    huge = tarfile.TarInfo("huge.csv")
    huge.size = 1 << 40
    with pytest.raises(ValueError, match="more files or bytes"):
        unpack(huge.tobuf() + b"\0" * 1024, tmp_path)
    assert names(tmp_path) == set()


def test_a_named_place_stays_inside_too() -> None:
    """The scenario's place comes from the other side as well."""
    assert inside(Path("/run"), "a/b.py") == Path("/run/a/b.py")
    with pytest.raises(ValueError, match="stay in its folder"):
        inside(Path("/run"), "../b.py")
