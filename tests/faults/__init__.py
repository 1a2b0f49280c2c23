"""Tests of the fault drivers."""
