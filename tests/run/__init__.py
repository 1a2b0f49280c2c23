"""Tests of harness/run/."""
