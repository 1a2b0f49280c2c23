"""The visitors of mix.py's kind with FastUser: the same shape as FastHttpUser, a quarter of its price.

Run alone: locust -f scenarios/fast.py --headless -u 100 -r 10 -t 30s -H http://127.0.0.1:8080
"""

import random

from locust import between, task

from harness.traffic import FastUser

PRODUCTS = 50


class Visitor(FastUser):
    """Reads the list, looks at products, and puts one in the cart now and then."""

    host = "http://127.0.0.1:8080"
    wait_time = between(1, 3)

    @task(2)
    def list_products(self) -> None:
        """Look at the list."""
        self.client.get("/products")

    @task(7)
    def view_product(self) -> None:
        """Look at one product."""
        self.client.get(f"/products/{random.randint(1, PRODUCTS)}", name="/products/[id]")

    @task(1)
    def check_out(self) -> None:
        """Buy one; an answer without an order number is a failure whatever its status."""
        order = {"product": random.randint(1, PRODUCTS), "quantity": 1}
        with self.client.post("/checkout", json=order, catch_response=True) as answer:
            if answer.ok and "order" not in answer.json():
                answer.failure("no order number in the answer")
