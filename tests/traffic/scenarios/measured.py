"""Blocks of Locust's own `measure` that end in every way there is."""

import gevent
from locust import User, constant_pacing, task


class Measurer(User):
    """One task, one way after the other; `late` is never answered within a second."""

    wait_time = constant_pacing(0.5)

    @task
    def all_ways(self) -> None:
        """Good, renamed, wrong, raised, given up by the scenario's own limit; then another event than the request's."""
        measure = self.environment.events.request.measure
        with measure("OWN", "good"):
            gevent.sleep(0.05)
        with measure("OWN", "before") as request:
            request["name"] = "after"
        with measure("OWN", "wrong") as request:
            request["exception"] = AssertionError("not what we wanted")
        with measure("OWN", "raised") as request:
            raise ConnectionRefusedError("nobody there")
        assert isinstance(request["exception"], ConnectionRefusedError)
        with gevent.Timeout(0.05, False), measure("OWN", "impatient"):
            gevent.sleep(60)
        with self.environment.events.spawning_complete.measure("OWN", "not a request"):
            pass


class Waiter(User):
    """Waits for what never comes."""

    fixed_count = 1
    wait_time = constant_pacing(0.1)

    @task
    def wait_for_ever(self) -> None:
        """Ended by the experiment's time limit, or by the end of the run."""
        with self.environment.events.request.measure("OWN", "late"):
            gevent.sleep(60)
