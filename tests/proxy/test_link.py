"""A link without sockets: chains of stages between two recording transports."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import cast

from harness.proxy.connection import Connection
from harness.proxy.link import Link
from harness.proxy.toxic import Toxic


class RecordingTransport:
    """A socket that only remembers what was done to it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.reading = True
        self.ended: list[str] = []

    def write(self, data: bytes) -> None:
        """Remember."""
        self.written.append(data)

    def write_eof(self) -> None:
        """Remember."""
        self.ended.append("eof")

    def close(self) -> None:
        """Remember."""
        self.ended.append("close")

    def abort(self) -> None:
        """Remember."""
        self.ended.append("abort")

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return "close" in self.ended or "abort" in self.ended

    def is_reading(self) -> bool:
        """Whether reading is on."""
        return self.reading

    def pause_reading(self) -> None:
        """Switch it off."""
        self.reading = False

    def resume_reading(self) -> None:
        """Switch it on."""
        self.reading = True

    def get_write_buffer_size(self) -> int:
        """Nothing waits."""
        return 0


class FakeOwner:
    """A proxy that has toxics and no sockets."""

    def __init__(self) -> None:
        self.toxics: list[Toxic] = []
        self.gone: list[Connection] = []

    def opened(self, connection: Connection) -> None:
        """The test joins the upstream itself."""

    def closed(self, connection: Connection) -> None:
        """Remember."""
        self.gone.append(connection)

    def toxics_of(self, stream: str) -> Iterator[Toxic]:
        """Those of the direction."""
        return (toxic for toxic in self.toxics if toxic.stream == stream)


class Rig:
    """A connection between two recording transports."""

    def __init__(self) -> None:
        self.owner = FakeOwner()
        self.connection = Connection(self.owner, 1)
        self.client, self.upstream = RecordingTransport(), RecordingTransport()
        self.up, self.down = self.connection.up, self.connection.down

    def join(self) -> Rig:
        """Connect both ends."""
        _joined(self.up, self.client)
        _joined(self.down, self.upstream)
        return self

    def add(self, kind: str, stream: str = "upstream", **attributes: int) -> Toxic:
        """A toxic in force on the connection."""
        toxic = Toxic(key="k", name=f"{kind}{len(self.owner.toxics)}", kind=kind, stream=stream)
        toxic.attributes.update(attributes)
        self.owner.toxics.append(toxic)
        self.refresh()
        return toxic

    def remove(self, toxic: Toxic) -> None:
        """Take it off."""
        self.owner.toxics.remove(toxic)
        self.refresh()

    def refresh(self) -> None:
        """As the proxy does after a change."""
        self.up.refresh()
        self.down.refresh()


def _joined(link: Link, transport: RecordingTransport) -> None:
    link.connection_made(cast(asyncio.Transport, transport))


def test_without_toxics_reads_are_written_as_they_are() -> None:
    """The very object that was read is written: no copy."""
    rig = Rig().join()
    data = b"x" * 1000
    rig.up.data_received(data)
    assert rig.upstream.written[0] is data
    assert (rig.up.received, rig.up.sent) == (1000, 1000)


def test_what_comes_before_the_upstream_is_there_is_kept() -> None:
    """Data and end wait for the dial, in order; too much of it stops the reading."""
    rig = Rig()
    _joined(rig.up, rig.client)
    rig.up.data_received(b"a" * 60_000)
    assert rig.client.reading
    rig.up.data_received(b"b" * 60_000)
    assert not rig.client.reading
    _joined(rig.down, rig.upstream)
    assert rig.upstream.written == [b"a" * 60_000, b"b" * 60_000]
    assert rig.client.reading


def test_removal_in_the_middle_keeps_the_order_and_the_neighbours() -> None:
    """What the removed toxic held goes before what comes later, and into the next toxic, not past it."""
    rig = Rig().join()
    first = rig.add("bandwidth", rate=0)
    second = rig.add("bandwidth", rate=0)
    rig.up.data_received(b"1")
    rig.remove(first)
    rig.up.data_received(b"2")
    assert rig.upstream.written == []
    rig.remove(second)
    rig.up.data_received(b"3")
    assert rig.upstream.written == [b"1", b"2", b"3"]


def test_adding_a_neighbour_releases_nothing() -> None:
    """Go interrupts the toxic before; here it goes on holding."""
    rig = Rig().join()
    rig.add("bandwidth", rate=0)
    rig.up.data_received(b"1")
    rig.add("slow_close", delay=0)
    assert rig.upstream.written == []


def test_a_full_stage_stops_the_reading() -> None:
    """Memory is bounded: over the stage's limit the source waits, and goes on when the toxic is gone."""
    rig = Rig().join()
    toxic = rig.add("bandwidth", rate=0)
    rig.up.data_received(b"x" * 70_000)
    assert not rig.client.reading
    rig.remove(toxic)
    assert rig.client.reading


def test_a_full_sink_stops_the_reading() -> None:
    """A peer that does not read is felt by the one who sends."""
    rig = Rig().join()
    rig.down.pause_writing()
    assert not rig.client.reading
    assert rig.upstream.reading
    rig.down.resume_writing()
    assert rig.client.reading


def test_halves_close_one_by_one() -> None:
    """An end passes on; after both, the connection closes."""

    async def run() -> None:
        rig = Rig().join()
        assert rig.up.eof_received()
        assert (rig.upstream.ended, rig.client.ended) == (["eof"], [])
        rig.down.data_received(b"late answer")
        assert rig.client.written == [b"late answer"]
        rig.down.eof_received()
        assert (rig.upstream.ended, rig.client.ended) == (["eof", "close"], ["close"])

    asyncio.run(run())


def test_a_lost_client_still_has_its_words_delivered() -> None:
    """What a toxic holds goes on after the client has gone, and then the upstream is closed."""
    rig = Rig().join()
    toxic = rig.add("bandwidth", rate=0)
    rig.up.data_received(b"last words")
    rig.up.connection_lost(ConnectionResetError())
    assert (rig.upstream.written, rig.upstream.ended) == ([], [])
    rig.remove(toxic)
    assert (rig.upstream.written, rig.upstream.ended) == ([b"last words"], ["close"])


def test_the_proxy_hears_when_both_sockets_are_gone() -> None:
    """Not after one, and then once in its books."""
    rig = Rig().join()
    rig.up.connection_lost(None)
    assert rig.owner.gone == []
    rig.down.connection_lost(None)
    assert rig.owner.gone == [rig.connection]


def test_a_cut_stream_delivers_what_is_beyond_and_closes() -> None:
    """limit_data before a holding toxic: what passed the limit still comes, then all closes."""
    rig = Rig().join()
    rig.add("limit_data", bytes=3)
    holding = rig.add("bandwidth", rate=0)
    rig.up.data_received(b"abcdef")
    rig.up.data_received(b"more")
    assert rig.upstream.written == []
    rig.remove(holding)
    assert rig.upstream.written == [b"abc"]
    assert rig.upstream.ended == ["close"]


def test_nothing_is_written_after_the_end() -> None:
    """Data that was on its way when the connection closed falls nowhere, without an error."""
    rig = Rig().join()
    rig.add("limit_data", bytes=0)
    rig.up.data_received(b"abc")
    rig.up.data_received(b"def")
    rig.down.data_received(b"ghi")
    assert (rig.upstream.written, rig.client.written) == ([], [])
