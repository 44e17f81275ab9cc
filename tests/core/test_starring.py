"""Nothing that may be a secret stays in a text or on a command line; what helps to understand an error does."""

from __future__ import annotations

import pytest

from gpucloud.core.starring import known_secrets, starred, starred_words

SECRET = "hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"https://user:{SECRET}@example.org/x",
        f"https://{SECRET}@example.org/x",
        f"GET https://example.org/x?a=1&sig={SECRET}&b=2",
        f"Authorization: Bearer {SECRET}",
        f"{{'api_key': '{SECRET}', 'region': 'x'}}",
        f'{{"token": "{SECRET} {SECRET}"}}',
        f"AccountKey={SECRET};Endpoint=x",
        f"password = '{SECRET}",
        f"the password '{SECRET}' is wrong",
        f"AWS_SECRET_ACCESS_KEY={SECRET},{SECRET}",
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}\n-----END OPENSSH PRIVATE KEY-----",
        f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}",
        f"hf_{SECRET}{SECRET}",
        f"AKIAABCD{SECRET.upper()}HUNTER2".replace("HUNTER2", SECRET),
        f"refused {SECRET}0123456789abcdef0123456789abcdef",
    ],
)
def test_what_looks_like_a_secret_is_starred(text):
    assert SECRET not in starred(text) and "***" in starred(text)


@pytest.mark.parametrize(
    "text",
    [
        "The instance i-0123456789abcdef0 in us-east-1 is gone.",
        "site-packages/typer/_click/core.py:748 invoke",
        "InsufficientInstanceCapacity: p4d.24xlarge in us-east-1a.",
        "Linux-6.18.44-x86_64-with-glibc2.36",
        "https://compute.googleapis.com/compute/v1/projects/p/zones/us-central1-a",
        "test_a_sentence_with_many_words_and_no_digit_in_it",
    ],
)
def test_what_explains_an_error_stays(text):
    assert starred(text) == text


def test_known_values_are_starred_in_every_form():
    environ = {
        "HF_TOKEN": "abcd/efg h",
        "PLAIN": "given",
        "SHORT_KEY": "abc",
        "DB": "postgres://me:pass4word@db/x",
        "PEM_KEY": "first line\nsecond line",
    }
    known = known_secrets(["up", "--env", "PLAIN", "--secret", "OTHER=mine2", "--password", "pw-5"], environ)
    for text in ("abcd/efg h", "abcd%2Fefg%20h", "given", "mine2", "pw-5", "pass4word", "second line", "line\\nsecond"):
        assert "***" in starred(f"x {text} y", known) or text == "line\\nsecond"
    assert starred("it was 'first line\\nsecond line'", known) == "it was '***'"
    assert "abc" not in known  # too short to look for


@pytest.mark.parametrize(
    ("line", "carrier", "shown"),
    [
        ("up t --gpu A100:8 --tag a=b", None, "up t --gpu A100:8 --tag a=***"),
        ("up t --setup hunter2", None, "up t --setup ***"),
        ("up t --setup=hunter2 --secrt hunter2", None, "up t --setup=*** --secrt ***"),
        ("run --env A=hunter2 --secret B python", "run", "run --env A=*** --secret B ***"),
        ("run --env=A=hunter2 --secret=hunter2 python", "run", "run --env=A=*** --secret=*** ***"),
        ("--debug run hunter2 --x=1 y", "run", "--debug run *** *** ***"),
        ("run --on t --gpu T4 -- hunter2 a", "run", "run --on t --gpu T4 *** *** ***"),
        ("-o json exec t -- echo hunter2", "exec", "-o json exec *** *** *** ***"),
        ("rnu hunter2", "", "*** ***"),
        ("recommend --work 90", None, "recommend --work 90"),
    ],
)
def test_command_lines(line, carrier, shown):
    assert " ".join(starred_words(line.split(), carrier)) == shown
