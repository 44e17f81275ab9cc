"""What happened, as values: the journal holds nothing but a growing list of these.

kind                 data
deployment_created   name, asked (the user's words), request (times, guards, options)
attempt_opened       attempt, token, cloud, account, principal, endpoint, offer, nodes, deadline_epoch_s, launch
attempt_sent_again   attempt                  (the same token is about to be sent once more)
attempt_launched     attempt, resources, guards
attempt_refused      attempt, code, message   (nothing was made)
attempt_ambiguous    attempt, message         (not known whether something was made)
attempt_looked       attempt, resources       (a complete look by token and tag)
attempt_settled      attempt                  (enough empty looks: nothing was made)
attempt_failed       attempt, code, message, kept
attempt_removed      attempt                  (made, and confirmed gone)
attempt_skipped      cloud, offer, code, message   (never sent)
node_proved          attempt, rank, host_key
deployment_ready     attempt
deployment_failed    code, message
deployment_cancelled
destroy_requested / destroy_accepted / destroy_failed   resource, message
stop_requested / stop_accepted / stopped
start_requested / start_accepted / started              deadline_epoch_s, budget_usd (only where it changes)
extended             deadline_epoch_s, guards, budget_usd (only where it changes)
allowed              cidrs
nodes_seen           attempt, states {id: state}, verdict, ended_at, nothing_left
deployment_down
run_created          run, command, pull, one_shot, …
run_cancel_requested run
run_setup / run_started / run_ended {exit_code, state} / run_pulled      run
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SCHEMA = 1


@dataclass(frozen=True)
class Draft:
    """An event that has not been committed yet. `data` holds JSON values only, never a secret."""

    kind: str
    deployment: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    """One committed fact. `seq` grows by commit; `at` is epoch seconds of the writer's clock."""

    seq: int
    at: float
    kind: str
    deployment: str
    data: Mapping[str, Any]
