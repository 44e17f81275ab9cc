"""What stands below a recommendation: the picks with their commands, the advice, and what is in the sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpucloud.cli.recommend_request import Answer
from gpucloud.core.extras import USUAL_DISK_GIB
from gpucloud.core.offers import refresh_command
from gpucloud.core.options import Option
from gpucloud.core.recommend import Recommendation
from gpucloud.core.units import show_duration
from gpucloud.render.text import dollars, plural, significant

PICK_WORDS = {"cheapest": "Cheapest", "fastest_within_budget": "Fastest", "startable_now": "Startable now"}


def notes(answer: Answer, left_out: int) -> list[str]:
    found = answer.found
    notes = [f"{left_out} more options: --limit, or -o json for all."] if left_out > 0 else []
    notes.extend(old_price_notes(found))
    unit = answer.subject.unit
    notes.append(f"Work: {significant(answer.subject.amount)} {unit}; speed in {unit}/s of all GPUs together.")
    notes.extend(_pick_notes(found.picks))
    best = found.picks.get("cheapest")
    if best is not None and best.warnings:
        notes.append("Mind: " + "; ".join(best.warnings) + ".")
    if found.regret > 0.05:
        notes.append(
            f"If every prediction were wrong at the bad end, the pick could be {found.regret:.0%} dearer than another."
        )
    notes.extend(_advice_notes(found.advice))
    notes.extend(_rent_notes(answer))
    notes.extend(_own_notes(answer))
    return notes


def _pick_notes(picks: Mapping[str, Option | None]) -> list[str]:
    """Each pick with its command, once where it is picked for several reasons."""
    reasons: dict[int, list[str]] = {}
    for name, pick in picks.items():
        reasons.setdefault(id(pick), []).append(PICK_WORDS[name])
    lines = []
    for pick in {id(pick): pick for pick in picks.values() if pick is not None}.values():
        cost = f"{show_duration(pick.hours * 3600)}, ${dollars(pick.usd)}"
        lines.append(f"{' and '.join(reasons[id(pick)]).capitalize()}: {pick.name} ({cost})")
        lines.extend([f"  {pick.command}"] if pick.command else [])
    return lines


def _rent_notes(answer: Answer) -> list[str]:
    """What is in the sums of rented machines beside their hours."""
    if not any(option.besides and option.besides.total for option in answer.found.options):
        return []
    about = answer.wishes.besides
    setup = f"{show_duration(about.setup_s)} of set-up (--setup)" if about.setup_s else "no set-up (--setup)"
    taken = f"{about.download_gb:g} GB taken home" if about.download_gb else "nothing taken home (--download-gb)"
    disk = f"{about.disk_gib or USUAL_DISK_GIB:g} GiB of disk (--disk-gib) and an address a machine"
    return [f"Renting: with {disk}, {setup}, {taken}."]


def old_price_notes(found: Recommendation) -> list[str]:
    """How many machines that could be started an old price kept out, and the command that brings them back."""
    left_out = {(offer.cloud, offer.instance_type, offer.market) for offer in found.old_priced}
    if not left_out:
        return []
    cure = refresh_command(offer.cloud for offer in found.old_priced)
    asks = f"`{cure}` asks for today's; " if cure else ""
    return [f"Left out: {plural(len(left_out), 'offer')} with prices older than a year; {asks}--stale ranks them."]


def _advice_notes(advice: Mapping[str, Any] | None) -> list[str]:
    if advice is None:
        return []
    rule = f"Rule of thumb for a {advice['profile']} ({advice['stage']}): {advice['rule']}"
    return [rule, f"The numbers: {advice['verdict']}; {advice['why']}."]


def _own_notes(answer: Answer) -> list[str]:
    terms = answer.wishes.terms
    if not any(option.kind == "own" and option.upfront_usd for option in answer.found.options):
        return []
    return [
        f"Owning: {terms.utilisation:.0%} use, {terms.years:g} years, {terms.rate:.0%} a year, resale"
        f" {terms.resale_share:.0%}, ${terms.usd_per_kwh:g}/kWh, servers with space, people and support."
    ]
