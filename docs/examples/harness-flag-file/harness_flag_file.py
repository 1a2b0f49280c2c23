"""Faults on a file of feature flags, one `name=value` a line: sets a flag, and puts back what was there."""

from __future__ import annotations

import shlex
from pathlib import Path

from harness.errors import BadInput, EnvironmentBroke
from harness.experiment import Fault
from harness.faults import Before, Felt
from harness.loader.catalogue import Kind
from harness.loader.parameter import Param
from harness.plugins import FaultPlugin, Site

DRIVER = "flag_file"


class FlagFaults:
    """Keeps nothing between calls: file, flag and the value before are in `before`, so any process can heal."""

    def __init__(self, base_dir: Path = Path()) -> None:
        self._base_dir = base_dir

    def check(self, fault: Fault) -> None:
        """The file must be there, and the flag not have the wanted value already: that would not be our doing."""
        if fault.kind != "set":
            raise BadInput(f"fault {fault.name}: there is no {DRIVER} fault {fault.kind!r}", hint="known: set")
        if self.before(fault)["value"] == fault.params["to"]:
            raise BadInput(f"fault {fault.name}: {fault.params['flag']} is {fault.params['to']} already")

    def before(self, fault: Fault) -> Before:
        """Which file, and the value that healing restores; None when the flag has no line."""
        path = str((self._base_dir / str(fault.params["file"])).absolute())
        return {"path": path, "value": _flags(path).get(str(fault.params["flag"]))}

    def inject(self, fault: Fault, before: Before) -> None:
        """Set the flag."""
        _set(str(before["path"]), str(fault.params["flag"]), str(fault.params["to"]))

    def heal(self, fault: Fault, before: Before) -> None:
        """Put back what was there, unless somebody has set yet another value since. Twice is fine."""
        path, flag = str(before["path"]), str(fault.params["flag"])
        if _flags(path).get(flag) == fault.params["to"]:
            value = before["value"]
            _set(path, flag, None if value is None else str(value))

    def felt(self, fault: Fault, before: Before) -> Felt:
        """What the file says."""
        value = _flags(str(before["path"])).get(str(fault.params["flag"]))
        return Felt(felt=value == fault.params["to"], proof=f"{fault.params['flag']} is {value} in {before['path']}")

    def by_hand(self, fault: Fault, before: Before) -> str:
        """What a person types when nothing else works."""
        flag, value, path = str(fault.params["flag"]), before["value"], shlex.quote(str(before["path"]))
        if value is None:
            return f"sed -i {shlex.quote(f'/^{flag}=/d')} {path}"
        return f"sed -i {shlex.quote(f's/^{flag}=.*/{flag}={value}/')} {path}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise EnvironmentBroke(f"{path}: cannot be read: {error.strerror}", hint="give the file's path") from error


def _flags(path: str) -> dict[str, str]:
    return {name: value for name, equals, value in (line.partition("=") for line in _lines(path)) if equals}


def _set(path: str, flag: str, value: str | None) -> None:
    """Write the file anew beside the old one, then rename: whoever reads it sees the old one or the new one, whole."""
    lines = _lines(path)
    at = next((number for number, line in enumerate(lines) if line.startswith(f"{flag}=")), len(lines))
    lines[at : at + 1] = [] if value is None else [f"{flag}={value}"]
    partial = Path(f"{path}.partial")
    try:
        partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        partial.chmod(Path(path).stat().st_mode)
        partial.replace(path)
    except OSError as error:
        raise EnvironmentBroke(f"{path}: cannot be written: {error.strerror}") from error


def make(site: Site) -> FlagFaults:
    """The driver of a run."""
    return FlagFaults(site.base_dir)


SET = Kind(
    driver=DRIVER,
    name="set",
    params=(
        Param(name="file", unit="text", required=True, doc="path of the file, from where the experiment's files are"),
        Param(name="flag", unit="word", required=True, doc="name of the flag"),
        Param(name="to", unit="word", required=True, doc="the value while the fault is in force"),
    ),
    felt="the flag has the value in the file",
    undo="puts back the value that was there",
    leaves="nothing",
    new_connection="as the service behaves with the flag",
    held_connection="as the service behaves with the flag",
    knob_param="flag",
)

PLUGIN = FaultPlugin(name=DRIVER, kinds=(SET,), make=make, healer=FlagFaults)
