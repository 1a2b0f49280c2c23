"""Benchmarks: measured, never tested by the clock."""
