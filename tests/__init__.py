"""The tests, a mirror of harness/; contracts/, e2e/, bench/ and golden/ beside."""
