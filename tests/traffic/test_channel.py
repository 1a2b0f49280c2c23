"""The line to a traffic process: what comes in one piece is still read one by one, by whoever asks."""

from __future__ import annotations

import socket

from harness.traffic.channel import Channel


def test_a_second_record_waits_for_the_next_reader() -> None:
    """Settings and port may arrive together; the one who reads the settings takes nothing else away."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b'={"config":{}}\n={"port":5}\n={"stop"')
        channel = Channel(ours)
        assert next(channel.records()) == {"config": {}}
        assert next(channel.records()) == {"port": 5}
        theirs.sendall(b':{}}\n={"quit":true}\n')
        assert next(channel.records()) == {"stop": {}}
        assert channel.drain() == ['={"quit":true}']
        assert channel.drain() == []


def test_the_end_of_the_line_ends_the_records() -> None:
    """What was whole by then is read, half a line is not."""
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(b'={"a":1}\n={"b"')
        theirs.close()
        assert list(Channel(ours).records()) == [{"a": 1}]
