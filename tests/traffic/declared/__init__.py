"""Declared traffic: what is pure of it."""
