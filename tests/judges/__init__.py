"""Tests of harness/judges/."""
