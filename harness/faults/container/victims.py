"""Which containers a fault is done to: the one that it names, or those that its selector draws by the seed."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from harness.clients.docker import Document, NoSuchContainerError
from harness.errors import BadInput
from harness.experiment import Fault, Selector
from harness.faults.container.facts import PROTECT_LABEL, Container
from harness.faults.container.hands import Hands

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
ONE_OFF_LABEL = "com.docker.compose.oneoff"
_MOST_TOLD = 20
_ROUNDING = 1e-9  # 0.29 of 100 is 29, though the float product is a little less


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listed:
    """A container in the Engine's list."""

    name: str
    running: bool
    labels: Mapping[str, str]

    @property
    def protected(self) -> bool:
        return self.labels.get(PROTECT_LABEL, "").lower() == "true"


def draw(names: Sequence[str], selector: Selector, seed: int, fault_name: str) -> tuple[str, ...]:
    """The victims among `names`, sorted; the same for the same names, seed and fault. Raises BadInput for too few."""
    there = sorted(set(names))
    match selector.mode:
        case "one":
            wanted = 1
        case "all":
            wanted = len(there)
        case "count":
            wanted = int(selector.amount)
        case "share":
            wanted = max(1, math.floor(selector.amount * len(there) + _ROUNDING))
    if not there or wanted > len(there):
        raise BadInput(
            f"fault {fault_name}: wants {wanted or 1} of the containers of {words(selector)}; there are {len(there)}",
            hint=f"there are: {_told(there)}",
        )
    # Only to be reproducible: nobody gains by guessing it.
    return tuple(sorted(random.Random(f"{seed}/{fault_name}").sample(there, wanted)))  # noqa: S311


def words(selector: Selector) -> str:
    """The selector in words: service api, label tier=web, name shop-*."""
    return f"{selector.by} {selector.pattern}"


class Victims:
    """Finds them. A selector's are drawn once, among those that run at that time: what `check` shows is what is hit."""

    def __init__(
        self,
        hands: Hands,
        resolve: Callable[[str], str],
        *,
        seed: int,
        project: str,
        allowed: Callable[[str, Mapping[str, str]], bool],
    ) -> None:
        self._allowed = allowed
        self._hands = hands
        self._resolve = resolve
        self._seed = seed
        self._project = project
        self._drawn: dict[tuple[str, Selector], tuple[str, ...]] = {}

    def names(self, fault: Fault) -> tuple[str, ...]:
        """By name. Raises BadInput when the selector matches nothing, or less than it asks for."""
        if fault.select is None:
            return (self._resolve(fault.on),)
        key = fault.name, fault.select
        if key not in self._drawn:
            self._drawn[key] = draw(self._matches(fault, fault.select), fault.select, self._seed, fault.name)
        return self._drawn[key]

    def of(self, fault: Fault) -> tuple[Container, ...]:
        """A fresh look at each. Raises BadInput for one that is not there, protected, paused or not running."""
        seen = tuple(self._look(fault, name) for name in self.names(fault))
        for now in seen:
            self.refuse(fault, now)
        return seen

    def refuse(self, fault: Fault, now: Container) -> None:
        """Refuse what is protected, outside of the allow-list, paused or not running. Raises BadInput."""
        _refuse(now, fault)
        if not self._allowed(now.name, now.labels):
            raise BadInput(
                f"fault {fault.name}: container {now.name} is outside of targets",
                hint="see targets: in the experiment and in harness.toml, its names and labels",
            )

    def refuse_too_many(self, fault: Fault, victims: Sequence[Container], most: float) -> None:
        """Refuse a fault that hits more than the share `most` of the replicas of a service."""
        hit = Counter((now.labels.get(PROJECT_LABEL, ""), now.labels.get(SERVICE_LABEL, "")) for now in victims)
        for (project, service), count in hit.items():
            if service:
                labels = {SERVICE_LABEL: service, **({PROJECT_LABEL: project} if project else {})}
                total = len(self._list(labels))
                what = f"service {service}"
            else:
                total = len(self._matches(fault, fault.select)) if fault.select else 1
                what = words(fault.select) if fault.select else f"{victims[0].name}, which is of no compose service"
            if count > most * total + _ROUNDING:
                raise BadInput(
                    f"fault {fault.name}: hits {count} of {total} containers of {what}; "
                    f"`share_of_service` allows {most:.0%}",
                    hint="choose fewer victims, run more replicas, or allow a larger share",
                )

    def _matches(self, fault: Fault, selector: Selector) -> list[str]:
        listed = self._list({PROJECT_LABEL: self._project} if self._project and selector.by == "service" else {})
        found = [one for one in listed if one.running and _fits(one, selector)]
        free = [one.name for one in found if not one.protected]
        if not free:
            why = "all that match are protected" if found else "there is no such container running"
            there = [one.labels.get(SERVICE_LABEL, "") if selector.by == "service" else one.name for one in listed]
            raise BadInput(
                f"fault {fault.name}: nothing to draw from {words(selector)}: {why}",
                hint=f"there are: {_told(sorted(set(filter(None, there))))}",
            )
        return free

    def _list(self, labels: Mapping[str, str]) -> list[_Listed]:
        """The Engine's containers, one-off commands of compose left out."""
        listed = [_listed(one) for one in self._hands.docker.containers(labels)]
        return [one for one in listed if one.labels.get(ONE_OFF_LABEL, "False") != "True"]

    def _look(self, fault: Fault, name: str) -> Container:
        try:
            return self._hands.look(name)
        except NoSuchContainerError as error:
            raise BadInput(
                f"fault {fault.name}: there is no container {name!r}",
                hint="name a service of the stack or a container of `docker ps`",
            ) from error


def _refuse(now: Container, fault: Fault) -> None:
    """What is not ours to touch, or is in a state already that is not ours."""
    if now.protected:
        raise BadInput(
            f"fault {fault.name}: container {now.name} is protected (label {PROTECT_LABEL}=true)",
            hint="choose another; a protected container is never touched",
        )
    if not now.running or now.paused:
        state = "paused already" if now.paused else f"not running (exit code {now.exit_code})"
        raise BadInput(
            f"fault {fault.name}: container {now.name} is {state}",
            hint=f"docker {'unpause' if now.paused else 'start'} {now.name}",
        )


def _fits(one: _Listed, selector: Selector) -> bool:
    if selector.by == "service":
        return one.labels.get(SERVICE_LABEL) == selector.pattern
    if selector.by == "name":
        return fnmatchcase(one.name, selector.pattern)
    key, equals, value = selector.pattern.partition("=")
    return key in one.labels and (not equals or one.labels[key] == value)


def _listed(document: Document) -> _Listed:
    names = [name.lstrip("/") for name in document["Names"]]
    return _Listed(
        name=min(names, key=lambda name: (name.count("/"), name)),  # links add names such as other/alias
        running=document["State"] in {"running", "paused"},
        labels=document.get("Labels") or {},
    )


def _told(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_TOLD} more" if len(names) > _MOST_TOLD else ""
    return f"{', '.join(names[:_MOST_TOLD])}{more}" or "none"
