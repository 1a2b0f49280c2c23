# ruff: noqa: D100 - a scenario as people write it
WORD = "imported from beside the scenario"
