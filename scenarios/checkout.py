"""Buyers: each looks at a product as often as it buys one.

Run alone: locust -f scenarios/checkout.py --headless -u 100 -r 10 -t 30s
PACING_S (10) is the time from one request of a user to the next: 1,000 users make 100 requests per second.
"""

import os
import random

from locust import FastHttpUser, constant_pacing, task

PACING_S = float(os.environ.get("PACING_S", "10"))
PRODUCTS = 50


class Buyer(FastHttpUser):
    """Views and buys, half and half."""

    host = "http://127.0.0.1:8080"
    wait_time = constant_pacing(PACING_S)
    connection_timeout = network_timeout = 10.0

    @task
    def view_product(self) -> None:
        """Look at one product."""
        self.client.get(f"/products/{random.randint(1, PRODUCTS)}", name="/products/[id]")

    @task
    def checkout(self) -> None:
        """Buy one product; an answer without an order number is a failure whatever its status."""
        order = {"product": random.randint(1, PRODUCTS), "quantity": 1}
        with self.client.post("/checkout", json=order, name="/checkout", catch_response=True) as answer:
            if answer.status_code != 201:
                answer.failure(f"status {answer.status_code}")
            elif '"order": ' not in (answer.text or ""):
                answer.failure("no order number in the answer")
