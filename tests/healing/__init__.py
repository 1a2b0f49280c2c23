"""Healing what dead runs left."""
