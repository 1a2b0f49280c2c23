"""Tests of harness/importing/."""
