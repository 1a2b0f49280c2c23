"""Killing the harness at random instants, then asking the target itself: `make chaos`."""
