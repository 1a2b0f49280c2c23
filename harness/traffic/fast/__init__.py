"""FastUser, a Locust user with a lean HTTP/1.1 client of our own. Imports Locust and gevent: in traffic processes only.

user        the class that scenarios derive from
session     its client: requests, redirects, cookies, who is told what came of them
writing     a call as bytes            reader      an answer from bytes
connection  a socket in gevent's loop  limits      time limits of requests
sources     which address it comes from
answer      what a scenario gets       headers, cookies, resolving, mistakes
"""
