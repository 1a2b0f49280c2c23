"""Tests of the traffic seam: pure parts by value, the rest through tests/contracts."""
