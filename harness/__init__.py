"""Chaos and load testing with verdicts you can stake a release on.

The map, in the order data flows (a module imports only from lines above its own group):

    errors units clock histogram version secrets   words for mistakes, quantities and time; buckets; what to mask
    experiment declared datafile                   what a person asks for; users without code; rows of their data
    loader/                                        YAML -> Experiment, every fault kind there is
    plan timeline journal                          who does what when, and that as text; what happened, a JSON line each
    state ledger                                   a folder that outlives a run; what must be undone, before it is done
    importing/                                     an OpenAPI document or a HAR file -> the text of an experiment
    blast_radius                                   what a plan may not do, to whom
    evidence/                                      journal -> windows: cells, percentiles, readings, and what is wrong
    verdict judges/                                evidence -> findings with intervals -> pass, fail or inconclusive
    reports/                                       verdict -> console, Markdown, HTML, JUnit, JSON, plots
    clients/ proxy/                                doors to other people's programs; the embedded Toxiproxy server
    stacks/ links traffic/ faults/ probes/         the seams: what is under test, who loads it, breaks it, watches it
    run/ result                                    the one loop that touches the world; a run's folder on disk
    rig plugins                                    names in an experiment -> live drivers; drivers of third parties
    locks opening blast_radius                     one harness at a target; what a run has, and may, before it begins
    healing/ reaper/                               taking back what a dead run left, by hand and by itself; halting all
    generator                                      whether this machine's generator carries what is planned
    conduct doctor starter cli                     run, doctor and init, each start to end; commands -> calls
    testing                                        fakes and invented journals for our tests and for our users'
"""

from harness.version import VERSION

__version__ = VERSION
