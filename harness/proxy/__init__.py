"""The embedded Toxiproxy-compatible server: the zero-install default, in its own process.

It speaks the HTTP API of Toxiproxy 2.12 and keeps the semantics of its toxics, so that an experiment runs the
same on either; the contract suite measures both through the proxy. Run it as `python -m harness.proxy`.

The way of one request, and the file of each step:

    client --> Link "upstream" --> stages (toxics) --> upstream     forward.py, connection.py,
                                                                    link.py, toxics/
    client <-- stages (toxics) <-- Link "downstream" <-- upstream
    control: http.py (HTTP/1.1) --> api.py (routes) --> book.py (the proxies)

A link without a toxic hands each read to the other socket's `write`: nothing is parsed, copied or queued. All
runs on one event loop, so a toxic is added to, changed on or taken from *every* live connection in one step,
and no lock can be held by a stuck connection.

Where it differs from the Go server, on purpose:

- Adding a toxic is atomic: no connection escapes it (Go: issue 148).
- The control API cannot hang on a stuck connection (Go: issue 558 and its family).
- The upstream is dialled beside the accept loop and for at most 30 s (Go: inside it, without a limit, so one
  unreachable upstream stops all accepts of the proxy).
- `toxicity` is drawn once for each connection and toxic, from `--seed`; a change of a neighbour or of the
  toxic itself does not draw again (Go: draws again, unseeded). A raised share only adds connections.
- `reset_peer` sends RST on connections that were there before it as well, and none where toxicity says no
  (Go: FIN on live connections; issue 603), and it can be taken back while its timeout runs.
- Removing `timeout` closes the connections that it held, not those that its toxicity spared.
- Adding or removing one toxic never releases what its neighbour holds back.
- A half-closed connection stays open in the other direction, until 30 s of silence (Go: closes both).
- Metrics count bytes as they pass (Go: when the connection ends).
- `slicer` with a size of 0 or a variation above the size cuts single bytes (Go: crashes).
- An empty `listen` binds a free port on 127.0.0.1 (Go: on all interfaces).
- Proxies carry no `Logger` field in JSON; errors are sent as application/json (Go: text/plain).

As in Go: latency acts on one direction and not on the handshake; `bandwidth` with rate 0 lets nothing pass;
`reset_peer` and `limit_data` act at the next data; a toxic on a chain acts in the order of adding; delays are
good to about a millisecond.
"""
