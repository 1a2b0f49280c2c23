"""A traffic process, from the inside. Locust and gevent are imported here and nowhere else; `__main__` tells how."""
