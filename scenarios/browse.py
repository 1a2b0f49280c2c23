"""Visitors who look at products: reads that the cache answers nearly always.

Run alone: locust -f scenarios/browse.py --headless -u 100 -r 10 -t 30s
PACING_S (10) is the time from one request of a user to the next: 1,000 users make 100 requests per second.
"""

import os
import random

from locust import FastHttpUser, constant_pacing, task

PACING_S = float(os.environ.get("PACING_S", "10"))
PRODUCTS = 50


class Visitor(FastHttpUser):
    """Opens the list once for every four products."""

    host = "http://127.0.0.1:8080"
    wait_time = constant_pacing(PACING_S)
    connection_timeout = network_timeout = 10.0

    @task(1)
    def list_products(self) -> None:
        """Look at the list."""
        self.client.get("/products", name="/products")

    @task(4)
    def view_product(self) -> None:
        """Look at one product."""
        self.client.get(f"/products/{random.randint(1, PRODUCTS)}", name="/products/[id]")
