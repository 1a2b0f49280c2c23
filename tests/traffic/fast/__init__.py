"""Tests of FastUser."""
