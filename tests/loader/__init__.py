"""Tests of harness/loader/."""
