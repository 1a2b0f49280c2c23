"""Tests of the embedded Toxiproxy server."""
