"""Tests of the stack drivers."""
