"""Tests of the doors to other people's programs."""
