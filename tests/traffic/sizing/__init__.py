"""How much load this machine can send."""
