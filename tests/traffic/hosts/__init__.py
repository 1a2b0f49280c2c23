"""Workers of other hosts: what is pure of it."""
