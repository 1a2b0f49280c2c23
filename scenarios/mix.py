"""The whole shop: two buyers to each visitor, so that one request in three is a checkout.

Run alone: locust -f scenarios/mix.py --headless -u 100 -r 10 -t 30s
PACING_S (10) is the time from one request of a user to the next: 1,000 users make 100 requests per second.
"""

import browse
import checkout


class MixVisitor(browse.Visitor):
    """One user in three."""

    weight = 1


class MixBuyer(checkout.Buyer):
    """Two users in three."""

    weight = 2
