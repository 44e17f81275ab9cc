"""What may be a secret in a text or on a command line is replaced by stars: for texts that people send to others.

Rather a star too many: a value is hidden when it is known to be a secret, when its name says so, or when it looks
like one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import zip_longest
from urllib.parse import quote

STARS = "***"
SHORTEST = 4  # letters of a value that is looked for in texts; shorter ones are in every word
NAME = r"(?:secr|token|passw|passphrase|pwd|credential|auth|cookie|signature|session|\bsig\b|key\b|_key|key_|apikey)"
SECRET_NAME = re.compile(NAME + r"|pass\b|_pass|(?:^|[-_])key", re.IGNORECASE)
VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
IN_URL = re.compile(r"://([^/\s:@]*):([^/\s@]+)@")
QUOTED = r"\"[^\"]*\"|'[^']*'"
PATTERNS = (
    (re.compile(r"-----BEGIN[^-]*PRIVATE KEY-----.*?(?:-----END[^-]*-----|\Z)", re.DOTALL), STARS),
    (re.compile(r"(://)[^/\s@]+@"), rf"\1{STARS}@"),
    (re.compile(r"\b(Bearer|Basic)\s+[^\s\"',]+", re.IGNORECASE), rf"\1 {STARS}"),
    (
        re.compile(rf"([\w.-]*{NAME}[\w.-]*[\"']?\s*[:=]\s*)({QUOTED}|[\"']?[^\s&\"']+)", re.IGNORECASE),
        rf"\1{STARS}",
    ),
    (re.compile(rf"({NAME}\w*\s+(?:is\s+|was\s+)?)({QUOTED})", re.IGNORECASE), rf"\1{STARS}"),
    (
        re.compile(r"\b(?:AKIA|ASIA|AIza|ya29\.|gh[pousr]_|github_pat_|glpat-|hf_|sk-|xox[a-z]-|eyJ)[\w.~+/=-]{8,}"),
        STARS,
    ),
    (re.compile(r"(?<![\w/+])(?=[^\W_]*\d)[A-Za-z0-9/+]{40}(?![\w/+])"), STARS),
    (re.compile(r"(?<!\w)(?=[A-Za-z_+=]*\d)[A-Za-z0-9_+=]{32,}"), STARS),
)
PAIRED = ("--env", "--secret", "--tag")  # K=V: the name stays
HIDDEN = ("--setup",)  # commands of the user's
TOLD = (  # options of commands that carry a command of the user's whose values tell where it went
    "--on", "--gpu", "--cloud", "--region", "--zone", "--market", "--nodes", "--launcher", "--max-hours", "--budget",
    "--idle", "--at-end", "--instance-type", "--output", "-o",
)  # fmt: skip


def known_secrets(words: Sequence[str], environ: Mapping[str, str]) -> set[str]:
    """Values that must not be told: of variables named like secrets or asked for, given ones, passwords in URLs."""
    pairs = list(_paired(words))
    asked = {name for name, _ in pairs}
    found = {value for _, value in pairs} | {name for name in asked if not VARIABLE.fullmatch(name)}
    found |= {value for name, value in environ.items() if name in asked or SECRET_NAME.search(name)}
    found |= {match[2] for text in (*words, *environ.values()) for match in IN_URL.finditer(text)}
    found |= {value for name, value in _options(words) if name not in PAIRED and SECRET_NAME.search(name)}
    return known_forms(found)


def known_forms(values: Collection[str]) -> set[str]:
    """The ways in which these secrets get into a text, without those too short to be looked for."""
    return {form for value in values for form in _forms(value) if len(form) >= SHORTEST}


def _forms(value: str) -> set[str]:
    """The ways in which a value gets into a text: as it is, line by line, in a URL, in quotes."""
    value = value.strip()
    return {value, *(line.strip() for line in value.splitlines()), quote(value, safe=""), repr(value)[1:-1]}


def _paired(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Name and value of every K=V (value empty where there is none)."""
    for option, value in _options(words):
        if option in PAIRED[:2]:
            name, _, given = value.partition("=")
            yield name, given


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every option with what follows it, which may be its value."""
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        if word.startswith("-"):
            option, equals, value = word.partition("=")
            yield option, value if equals else following


def starred(text: str, known: Collection[str] = ()) -> str:
    """The text with known secrets, and what looks like one, replaced by stars."""
    for secret in sorted(known, key=len, reverse=True):
        text = text.replace(secret, STARS)
    for pattern, instead in PATTERNS:
        text = pattern.sub(instead, text)
    return text


def starred_words(words: Sequence[str], carrier: str | None, known: Collection[str] = ()) -> list[str]:
    """A command line as it may be shown.

    `carrier` is the command whose further words are a command of the user's (`run`, `exec`, `ssh`), of which every
    word is a star; empty where it is not known which command it is, None where it carries none.
    """
    shown: list[str] = []
    before, theirs, named = "", False, not carrier
    for word in words:
        option, equals, value = word.partition("=")
        if theirs:
            shown.append(STARS)
        elif word.startswith("-") and word != "--":
            shown.append(f"{option}={_value(option, value)}" if equals else option)
        elif before in (*PAIRED, *HIDDEN) or SECRET_NAME.search(before):
            shown.append(_value(before, word))
        elif carrier is not None and named and before not in TOLD:
            theirs = True
            shown.append(STARS)
        else:
            named = named or word == carrier
            shown.append(word)
        before = word if word.startswith("-") and not equals else ""
    return [starred(word, known) for word in shown]


def _value(option: str, value: str) -> str:
    if option not in PAIRED:
        return STARS if option in HIDDEN or SECRET_NAME.search(option) else value
    name, equals, _ = value.partition("=")
    if not VARIABLE.fullmatch(name) and option in PAIRED[:2]:
        name = STARS
    return f"{name}={STARS}" if equals else name
