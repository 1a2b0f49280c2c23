"""Tests of harness.reaper."""
