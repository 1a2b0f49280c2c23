# ruff: noqa: D100, D101, D102, D103 - a scenario as people write it
WORD = "imported from beside the scenario"
