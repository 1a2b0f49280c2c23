"""Masking of secrets."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.secrets import is_secret_name, mask, mask_text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("http://user:hunter2@host:80/path", "http://user:***@host:80/path"),
        ("postgres://:hunter2@db/shop", "postgres://:***@db/shop"),
        ("see http://a:b@c and http://d:e@f", "see http://a:***@c and http://d:***@f"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("'authorization': 'Basic abc='", "'authorization': '***'"),
        ("GET /login?user=a&token=abc&x=1", "GET /login?user=a&token=***&x=1"),
        ("serve --password hunter2 --port 80", "serve --password *** --port 80"),
        ("serve --db-password=hunter2", "serve --db-password=***"),
        ("DB_PASSWORD=hunter2 serve", "DB_PASSWORD=*** serve"),
        ('{"api_key": "abc"}', '{"api_key": "***"}'),
        ("http://host:8080/path", "http://host:8080/path"),
        ("GET /x?token=[id]", "GET /x?token=[id]"),
        ("POST /token", "POST /token"),
        ("serve --token {db}", "serve --token {db}"),
        ("auth_token_count < 5", "auth_token_count < 5"),
    ],
)
def test_secrets_in_text_are_masked_and_nothing_else(text: str, masked: str) -> None:
    """Passwords in URLs, Authorization, and what follows a name of a secret; placeholders stay."""
    assert mask_text(text) == masked


@pytest.mark.parametrize(
    "name", ["PASSWORD", "db_passwd", "API-KEY", "apiKey", "Authorization", "X-Auth-Token", "client_secret"]
)
def test_names_of_secrets_are_known_in_any_case(name: str) -> None:
    """As they occur in environments and headers."""
    assert is_secret_name(name)


def test_a_tree_keeps_its_shape() -> None:
    """Values of secret keys are masked, also numbers; names of services are no keys."""
    tree = {
        "env": {"DB_PASSWORD": "x", "TOKEN": 5, "POOL": 8, "SECRETS": ["a", {"k": "v"}]},
        "external": {"token-issuer": "http://host"},
        "list": [{"password": "x"}, "http://u:p@h"],
        "empty": {"token": "", "secret": None},
    }
    assert mask(tree) == {
        "env": {"DB_PASSWORD": "***", "TOKEN": "***", "POOL": 8, "SECRETS": ["***", {"k": "v"}]},
        "external": {"token-issuer": "http://host"},
        "list": [{"password": "***"}, "http://u:***@h"],
        "empty": {"token": "", "secret": None},
    }


PIECES = st.sampled_from(
    [
        "http://",
        "u:",
        "p@",
        "h",
        "token",
        "password",
        "=",
        ": ",
        " ",
        '"',
        "'",
        "x1",
        "Bearer ",
        "Authorization",
        "--",
        "&",
        "***",
        "{",
        "[",
    ]
)


@settings(deadline=None, max_examples=500)
@given(st.lists(PIECES, max_size=14).map("".join))
def test_masking_twice_is_masking_once(text: str) -> None:
    """What is masked stays as it is, whoever masks it next."""
    once = mask_text(text)
    assert mask_text(once) == once
