"""Tests of harness/testing/."""
