"""Chaos and load testing with verdicts you can stake a release on.

The map, in the order data flows (a module imports only from lines above its own group):

    errors units clock histogram version secrets   words for mistakes, quantities and time; buckets; what to mask
    experiment loader/                             what a person asks for; YAML -> Experiment, every fault kind there is
    plan timeline journal                          who does what when, and that as text; what happened, a JSON line each
    evidence/                                      journal -> windows: cells, percentiles, readings, and what is wrong
    verdict judges/                                evidence -> findings with intervals -> pass, fail or inconclusive
    reports/                                       verdict -> console, Markdown, HTML, JUnit, JSON, plots
    clients/ proxy/                                doors to other people's programs; the embedded Toxiproxy server
    stacks/ links traffic/ faults/ probes/         the seams: what is under test, who loads it, breaks it, watches it
    run/ result                                    the one loop that touches the world; a run's folder on disk
    rig                                            names in an experiment -> live drivers
    conduct healing doctor starter cli             run, heal, doctor and init, each start to end; commands -> calls
    testing                                        fakes and invented journals for our tests and for our users'
"""

from harness.version import VERSION

__version__ = VERSION
