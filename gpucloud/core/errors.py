"""The family tree of everything that can go wrong, with the exit code and the next step of each.

GpucloudError
  UsageError (2)        NothingFits (3)       CredentialsError, PermissionDenied, NotRegistered (4)
  CapacityError, QuotaError (5)
  CloudError (6): ThrottledError, NotOffered, PolicyError, BadRequest, AmbiguousError
  HostError (7): Unreachable, HostKeyError, SyncError, BootstrapError, WaitTimeout
  StateConflict (8)     CleanupIncomplete (9)     Interrupted (130)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class GpucloudError(Exception):
    """One sentence (`message`), one next step (`hint`), a code for scripts and the process's exit code.

    `details` are extra JSON fields of the error object (for example `attempts`, `exit_code` of a run).
    """

    code: ClassVar[str] = "internal"
    exit_code: int = 1

    def __init__(self, message: str, hint: str = "", **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def as_json(self) -> dict[str, Any]:
        """The object that goes to stderr under `-o json`."""
        body = {"code": self.code, "message": self.message, "hint": self.hint, "exit_code": self.exit_code}
        return {"error": {**self.details, **body}}


class UsageError(GpucloudError):
    """The words of the command, a file or a variable cannot be understood."""

    code = "usage"
    exit_code = 2


class NothingFits(GpucloudError):
    """The wishes are clear, but no offer meets them all."""

    code = "nothing_fits"
    exit_code = 3


class CredentialsError(GpucloudError):
    """No usable identity for this cloud."""

    code = "credentials"
    exit_code = 4


class PermissionDenied(GpucloudError):
    """The identity is known but may not do this."""

    code = "permission"
    exit_code = 4


class NotRegistered(GpucloudError):
    """The account has not switched this service on."""

    code = "not_registered"
    exit_code = 4


class CapacityError(GpucloudError):
    """The cloud has no such machine free there now: the one error that moves on to the next offer."""

    code = "capacity"
    exit_code = 5


class QuotaError(GpucloudError):
    """The account may not have that many there: next region or cloud."""

    code = "quota"
    exit_code = 5


class CloudError(GpucloudError):
    """The cloud answered with an error of its own."""

    code = "bad_request"
    exit_code = 6


class ThrottledError(CloudError):
    """Too many requests: wait `retry_after_s` and repeat."""

    code = "throttled"

    def __init__(self, message: str, hint: str = "", *, retry_after_s: float = 1.0, **details: Any) -> None:
        super().__init__(message, hint, **details)
        self.retry_after_s = retry_after_s


class NotOffered(CloudError):
    """That type is not sold in that place."""

    code = "not_offered"


class PolicyError(CloudError):
    """A rule of the organisation forbids the request."""

    code = "policy"


class BadRequest(CloudError):
    """The cloud does not understand what we sent: our bug."""

    code = "bad_request"


class AmbiguousError(CloudError):
    """The connection was lost: whether the request took effect is not known."""

    code = "ambiguous"


class HostError(GpucloudError):
    """The machine exists but cannot be used."""

    code = "unreachable"
    exit_code = 7


class Unreachable(HostError):
    """No SSH connection to the machine."""

    code = "unreachable"


class HostKeyError(HostError):
    """The host could not prove who it is, or is another one than before. Always fatal."""

    code = "host_key"


class SyncError(HostError):
    """Files could not be copied whole."""

    code = "sync"


class BootstrapError(HostError):
    """The machine came up but is not what was ordered, or its set-up failed."""

    code = "bootstrap"


class WaitTimeout(HostError):
    """Something did not become true within the time allowed."""

    code = "timeout"


class StateConflict(GpucloudError):
    """The journal says something else: name taken, other spec, locked, plan out of date."""

    code = "state_conflict"
    exit_code = 8


class CleanupIncomplete(GpucloudError):
    """Something may still bill; the message names it."""

    code = "cleanup_incomplete"
    exit_code = 9


class Interrupted(GpucloudError):
    """The user stopped us; the message says what exists."""

    code = "interrupted"
    exit_code = 130


# Refusals that say for certain that nothing was made; everything else leaves the attempt open.
REFUSALS: tuple[type[GpucloudError], ...] = (
    CapacityError,
    QuotaError,
    CredentialsError,
    PermissionDenied,
    NotRegistered,
    ThrottledError,
    NotOffered,
    PolicyError,
    BadRequest,
)


def nearest(word: str, known: Sequence[str], limit: int = 3) -> list[str]:
    """The known names most like `word` (any case), best first, for a hint."""
    from difflib import get_close_matches

    by_folded: Mapping[str, str] = {name.casefold(): name for name in known}
    close = get_close_matches(word.casefold(), list(by_folded), n=limit, cutoff=0.5)
    inside = [name for name in by_folded if word.casefold() in name and name not in close]
    return [by_folded[name] for name in [*close, *inside][:limit]]
