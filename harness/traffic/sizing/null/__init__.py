"""What a generator is measured with: a locustfile for each kind of user, one small GET an iteration, no waiting."""
