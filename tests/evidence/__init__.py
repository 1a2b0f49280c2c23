"""Tests of harness/evidence/."""
