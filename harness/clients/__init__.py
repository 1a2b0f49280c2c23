"""The doors to other people's programs: one file for each, no decisions, a time limit on every call."""
