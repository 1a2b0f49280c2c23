"""Chaos and load testing with verdicts you can stake a release on.

The map, in the order data flows (a module imports only from lines above its own group):

    errors units clock histogram version    words for mistakes, quantities and time; latency buckets
    experiment catalogue loader             what a person asks for; every fault kind there is; YAML -> Experiment
    plan journal                            who does what when; what happened, one JSON line each
    cells evidence measure defects          journal -> windows with counts, percentiles, readings and what is wrong
    intervals decision verdict judges/      evidence -> findings with intervals -> pass, fail or inconclusive
    reports/ timeline                       verdict -> console, Markdown, HTML, JUnit, JSON, plots; plan -> text
    clients/ proxy/                         doors to other people's programs; the embedded Toxiproxy server
    stacks/ traffic/ faults/ probes/        the seams: what is under test, who loads it, what breaks it, what watches it
    run result                              the one loop that touches the world; a run's folder on disk
    rig                                     names in an experiment -> live drivers
    cli                                     commands -> calls -> exit code
    testing                                 fakes for our tests and for our users'
"""

from harness.version import VERSION

__version__ = VERSION
