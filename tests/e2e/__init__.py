"""Whole processes, as a user would start and kill them."""
