"""Links on a server of the user's: what is in the ledger, what is removed, and what is left alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

import pytest

from harness.clients.tcp import FIRST_PORT, LAST_PORT, free_port
from harness.clients.toxiproxy import Toxiproxy
from harness.clients.toxiproxy_model import Proxy as ServerProxy
from harness.clients.toxiproxy_model import ToxiproxySilent
from harness.clients.toxiproxy_server import start_embedded
from harness.errors import EnvironmentBroke
from harness.experiment import Proxy
from harness.ledger import Intended, Undo, Undoable, decode, encode
from harness.links import LinksHealer, ToxiproxyLinks, healer

LINKS = (Proxy(name="front", upstream="api"), Proxy(name="back", upstream="front"))
ADDRESSES: Mapping[str, str] = {"api": "http://127.0.0.1:9"}


class Died(BaseException):
    """The run was killed here."""


class Dying(Toxiproxy):
    """A client whose process dies at a call, before or after it had its effect."""

    calls = 0
    dies_at: tuple[int, Literal["before", "after"]] | None = None

    def _one(self, call: Any, *arguments: str) -> Any:
        self.calls += 1
        if self.dies_at == (self.calls, "before"):
            raise Died
        answer = call(*arguments)
        if self.dies_at == (self.calls, "after"):
            raise Died
        return answer

    def proxies(self) -> dict[str, ServerProxy]:
        """All."""
        return self._one(super().proxies)  # type: ignore[no-any-return]

    def create_proxy(self, name: str, listen: str, upstream: str) -> ServerProxy:
        """Make one."""
        return self._one(super().create_proxy, name, listen, upstream)  # type: ignore[no-any-return]

    def delete_proxy(self, name: str) -> None:
        """Remove one."""
        self._one(super().delete_proxy, name)


@pytest.fixture(scope="module")
def users() -> Iterator[Toxiproxy]:
    """A server that somebody else started, with a proxy of theirs."""
    running = start_embedded()
    client = Toxiproxy(running.address)
    client.create_proxy("theirs", "127.0.0.1:0", "127.0.0.1:9")
    yield client
    running.stop()


def links_at(users: Toxiproxy, *proxies: Proxy) -> ToxiproxyLinks:
    """The links of a run on the user's server."""
    return ToxiproxyLinks(proxies or LINKS, f"http://{users.address}", seed=1)


def of_a_ledger(undo: Undo | None) -> Undo:
    """An undo record as another process reads it."""
    assert undo is not None
    record = decode(encode(Intended(undo=undo)))
    assert isinstance(record, Intended)
    return record.undo


def test_links_on_a_server_of_ours_leave_nothing() -> None:
    """They end with it, and it ends with us: there is nothing to write down, before or after."""
    links = ToxiproxyLinks(LINKS, "embedded", seed=1)
    assert isinstance(links, Undoable)
    assert links.undo() is None
    links.open(ADDRESSES)
    links.close()
    assert links.undo() is None
    assert ToxiproxyLinks((), "auto", seed=1).undo() is None


def test_the_record_names_what_will_be_made(users: Toxiproxy) -> None:
    """Written before anything is made; the upstream only where it is known by then. The same once all is over."""
    links = links_at(users)
    undo = links.undo()
    assert undo == Undo(
        name="links",
        driver="links",
        kind="proxies",
        on=users.address,
        before={
            "api": users.address,
            "proxies": [
                {"name": "front", "listen": links.places["front"], "upstream": ""},
                {"name": "back", "listen": links.places["back"], "upstream": links.places["front"]},
            ],
        },
        by_hand=f"curl -X DELETE http://{users.address}/proxies/front"
        f" && curl -X DELETE http://{users.address}/proxies/back",
    )
    links.open(ADDRESSES)
    assert links.undo() == undo
    links.close()
    assert links.undo() == undo
    assert set(users.proxies()) == {"theirs"}


@pytest.mark.parametrize("effect", ["before", "after"])
def test_a_death_at_any_call_leaves_nothing(users: Toxiproxy, effect: Literal["before", "after"]) -> None:
    """From the first look to the last removal: the healer removes what there is, also the second time."""
    found = users.proxies()
    for number in range(1, 20):
        links, kept = links_at(users), list[Undo | None]()
        dying = links.client = Dying(users.address)
        dying.dies_at = (number, effect)
        try:
            kept.append(links.undo())
            links.open(ADDRESSES)
            links.close()
        except Died:
            pass
        else:
            assert number > 5
            return
        for undo in [*kept, *kept]:
            one = of_a_ledger(undo)
            healer().heal(one.fault, one.before)
        assert users.proxies() == found, f"died {effect} call {number}"
    pytest.fail("links take more than 20 calls")


def test_a_proxy_of_the_users_is_used_and_kept(users: Toxiproxy) -> None:
    """One that is there already and is what is wanted is not ours to remove, at the end or in healing."""
    theirs = users.proxies()["theirs"]
    links = links_at(users, Proxy(name="theirs", upstream="api", listen=theirs.listen))
    assert links.undo() is None
    links.open(ADDRESSES)
    links.close()
    assert users.proxies() == {"theirs": theirs}


def test_another_proxy_of_that_name_is_left_alone(users: Toxiproxy) -> None:
    """Somebody made it since, elsewhere; one whose upstream is known to differ is theirs too."""
    links = links_at(users)
    undo = of_a_ledger(links.undo())
    users.create_proxy("front", f"127.0.0.1:{free_port()}", "127.0.0.1:9")
    users.create_proxy("back", links.places["back"], "127.0.0.1:9")
    healer().heal(undo.fault, undo.before)
    assert set(users.proxies()) == {"theirs", "front", "back"}
    users.delete_proxy("front")
    users.delete_proxy("back")


def test_one_that_cannot_be_removed_hides_no_other(users: Toxiproxy) -> None:
    """Each is tried; what failed is named with what to type."""

    class Stuck(Toxiproxy):
        def delete_proxy(self, name: str) -> None:
            if name == "front":
                raise ToxiproxySilent("DELETE: no answer")
            super().delete_proxy(name)

    links = links_at(users)
    undo = of_a_ledger(links.undo())
    links.open(ADDRESSES)
    with pytest.raises(EnvironmentBroke, match="no answer") as error:
        LinksHealer(Stuck).heal(undo.fault, undo.before)
    assert error.value.hint == f"type: curl -X DELETE http://{users.address}/proxies/front"
    assert set(users.proxies()) == {"theirs", "front"}
    links.close()


def test_a_link_keeps_its_port_while_it_is_down() -> None:
    """Its port is none that the kernel gives to outgoing connections, so enabling it again cannot fail for that."""
    links = ToxiproxyLinks((replace(LINKS[0], name="a"), replace(LINKS[0], name="b")), "embedded", seed=1)
    links.close()
    ports = [int(place.rpartition(":")[2]) for place in links.places.values()]
    assert all(FIRST_PORT <= port < LAST_PORT for port in ports)
    assert len(set(ports)) == 2
