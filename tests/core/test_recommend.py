"""Choosing between renting and owning: constraints, picks, ties, nodes, spot, memory, and what never gets worse."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpucloud.core import advice as rules
from gpucloud.core import choose
from gpucloud.core.choose import Limits
from gpucloud.core.desk import Market, Wishes
from gpucloud.core.errors import UsageError
from gpucloud.core.extras import Besides
from gpucloud.core.multi_gpu import MultiGpu, Step
from gpucloud.core.offers import Accelerator, Offer
from gpucloud.core.owning import System, Terms, ownership
from gpucloud.core.recommend import recommend
from gpucloud.core.renting import Interruptions, band_mtbf_s, rented, spot_stretch
from gpucloud.core.speed import Speed, Speeds, relative_rates
from gpucloud.core.subject import Resolver, Wanted
from gpucloud.core.throughput import Benchmark
from gpucloud.core.work import Work, in_units_of, parse_measured, parse_work


def card(name, tflops, gb_per_s, memory, **more) -> Accelerator:
    more = {"vendor": "nvidia", "form": "server", "tdp_w": 300, "architecture": "Ampere", **more}
    return Accelerator(
        name,
        name,
        memory_gib=memory,
        bandwidth_gb_s=gb_per_s,
        fp16_tensor_tflops=tflops,
        fp32_tflops=tflops / 8,
        **more,
    )


CARDS = {
    one.name: one
    for one in (
        card("T4", 65, 320, 16, architecture="Turing", tdp_w=70),
        card("V100", 125, 900, 16, architecture="Volta"),
        card("A100", 312, 2039, 80, tdp_w=400),
        card("H100", 989, 3350, 80, architecture="Hopper", tdp_w=700),
        card("RTX3090", 71, 936, 24, form="consumer", tdp_w=350),
        card("K80", 8, 240, 12, architecture="Kepler"),
        card("MI300X", 1307, 5300, 192, vendor="amd", architecture="CDNA3"),
        card("TPU-v4", 275, 1228, 32, vendor="google", form="tpu", architecture="TPU v4"),
    )
}
RATES = {"T4": 400.0, "V100": 800.0, "A100": 1600.0, "H100": 2800.0, "RTX3090": 900.0, "K80": 100.0}


def vision(name, rate, count=1.0) -> Benchmark:
    return Benchmark(
        name, count, "resnet50", rate, "samples/s", link="nvswitch", precision="fp16", framework="pytorch", year=2024
    )


def language(name, rate) -> Benchmark:
    return Benchmark(
        name, 8.0, "llm-7b", rate, "tokens/s", link="nvswitch", precision="bf16", framework="foundry", year=2023
    )


ROWS = [
    *(vision(name, rate) for name, rate in RATES.items()),
    vision("A100", 12000.0, 8.0),
    *(language(name, rate) for name, rate in (("A100", 37000.0), ("H100", 85000.0), ("V100", 12000.0))),
]
MODELS = [
    {"model": "resnet50", "unit": "samples", "parameters": 25e6, "flops_per_unit": 12e9, "epoch_units": 1281167},
    {"model": "llm-7b", "unit": "tokens", "parameters": 7e9, "flops_per_unit": 42e9, "epoch_units": None},
    {"model": "llm-13b", "unit": "tokens", "parameters": 13e9, "flops_per_unit": 78e9, "epoch_units": None},
]


def offer(name, card_name, usd, count=1.0, **more) -> Offer:
    more = {
        "region": "r",
        "observed_on": "2026-06-01",
        "age_days": 20,
        "provisionable": True,
        "availability": "open",
        **more,
    }
    return Offer(
        more.pop("cloud", "aws"),
        name,
        card_name,
        count,
        usd_per_hour=usd,
        gpu_memory_gib=CARDS[card_name].memory_gib,
        **more,
    )


OFFERS = [
    offer("t4", "T4", 0.5),
    offer("a100", "A100", 3.0),
    offer("a100x8", "A100", 20.0, 8.0),
    offer("h100x8", "H100", 50.0, 8.0, fabric="efa-3200g"),
]


def resolver() -> Resolver:
    def find(text):
        name, _, count = text.partition(":")
        return name, float(count or 1)

    names = [row["model"] for row in MODELS]
    return Resolver(lambda model: [row for row in ROWS if model in (None, row.model)], MODELS, names, CARDS, find)


def ask(work="90 epochs", model="resnet50", wishes=None, offers=OFFERS, systems=(), **wanted):
    subject = resolver().subject(Wanted(parse_work(work), model, **wanted))
    return subject, recommend(subject, wishes or Wishes(), Market(offers, systems, CARDS))


def test_the_cheapest_comes_first_with_time_and_money():
    subject, found = ask()
    first = found.options[0]
    assert first.offer is not None and first.offer.instance_type == "t4"
    assert first.hours == pytest.approx(90 * 1281167 / 400 / 3600)
    assert first.usd == pytest.approx(first.hours * 0.5, rel=1e-3)
    assert [one.usd for one in found.options] == sorted(one.usd for one in found.options)
    assert subject.unit == "samples" and found.picks["cheapest"] is first
    assert "--gpu T4:1 --cloud aws --instance-type t4 --region r" in first.command
    assert first.speed.basis == "measured" and first.low_hours < first.hours < first.high_hours


def test_setup_disks_addresses_and_the_download_are_in_the_sum():
    """One hour of work and half an hour of set-up on two machines at 4 USD, counted by hand."""
    prices = {"disk_usd_per_gib_month": 0.073, "address_usd_per_hour": 0.005, "egress_usd_per_gb": 0.09}
    machine = offer("a100", "A100", 4.0, extras_observed_on="2026-05-01", **prices)
    speed = Speed(1.0, 0.5, 2.0, "samples/s", "fp16", "measured", "list", "measured")
    plain = rented(machine, 2, speed, 3600.0, Interruptions(), Besides(disk_gib=1e-9))
    assert plain.hours == 1.0 and plain.usd == pytest.approx(2 * 4 + 2 * 0.005)
    full = rented(machine, 2, speed, 3600.0, Interruptions(), Besides(1800.0, 200.0, 50.0))
    assert full.hours == 1.5 and full.high_hours == 2.5 and full.low_hours == 1.0
    assert full.besides == pytest.approx((2 * 200 * 0.073 / 730 * 1.5, 0.015, 4.5, "2026-05-01"))
    assert full.usd == pytest.approx(12.0 + 0.06 + 0.015 + 4.5)
    assert full.high_usd == pytest.approx(20.0 + 0.10 + 0.025 + 4.5)
    assert full.usd_per_unit_work == plain.usd_per_unit_work  # the price of the work is that of the machine
    assert "with disk $0.06, address $0.01, download $4.50 (prices of 2026-05-01)" in full.reasons[0]
    assert full.reasons[1] == "with 30 min of set-up" and "--disk-gib 200" in full.command
    unknown = rented(
        replace(machine, egress_usd_per_gb=None), 2, speed, 3600.0, Interruptions(), Besides(download_gb=9)
    )
    assert any("download costs there is not known" in words for words in unknown.warnings)


def test_machines_of_yours_rank_as_owned():
    mine = offer("box+RTX3090:2", "RTX3090", 0.0, 2.0, cloud="ssh", region="box", price_kind="own")
    subject = resolver().subject(Wanted(parse_work("90 epochs"), "resnet50"))
    found = recommend(subject, Wishes(), Market(OFFERS, (), CARDS, own=(mine,)))
    first = found.options[0]
    assert (first.kind, first.system, first.besides) == ("own", "your box, 2 x RTX3090", None)
    # 350 W x 2 and 35 % for the host, at 0.148 USD/kWh; 90 epochs at twice 900 images a second
    hours = 90 * 1281167 / first.speed.value / 3600
    assert first.usd == pytest.approx(hours * 0.7 * 1.35 * 0.148)
    assert first.command == "gpucloud up --cloud ssh --gpu RTX3090:2 --region box"
    assert found.picks["startable_now"] is first and "not asked" in first.warnings[0]


def test_deadline_and_budget_reject_and_say_why():
    _, found = ask(wishes=Wishes(limits=Limits(deadline_h=24.0)))
    assert all(one.hours <= 24 for one in found.options)
    assert any(miss.wish == "deadline" and "the deadline is 24 h" in miss.reason for miss in found.rejected)
    _, none = ask(wishes=Wishes(limits=Limits(budget_usd=1.0)))
    assert not none.options and {miss.wish for miss in none.rejected} == {"budget"}


def test_several_nodes_only_where_a_deadline_needs_them():
    _, alone = ask("1e12 tokens", "llm-7b", offers=OFFERS[2:])
    assert {one.nodes for one in alone.options} == {1}
    _, many = ask("1e12 tokens", "llm-7b", wishes=Wishes(limits=Limits(deadline_h=30 * 24)), offers=OFFERS[2:])
    assert many.options and min(one.nodes for one in many.options) > 1
    assert "--nodes" in many.options[0].command


def test_an_ordinary_network_keeps_less_than_a_fabric():
    both = [offer("plain", "H100", 50.0, 8.0), offer("fast", "H100", 50.0, 8.0, fabric="efa-3200g")]
    _, found = ask("1e10 tokens", "llm-7b", wishes=Wishes(max_nodes=2), offers=both)
    subject, _ = ask("1e10 tokens", "llm-7b")
    plain, fast = (subject.speed("H100", 8.0, 2, "", fabric) for fabric in ("", "efa-3200g"))
    assert plain is not None and fast is not None and plain.value < 0.6 * fast.value
    assert {one.nodes for one in found.options} == {1}


def test_what_does_not_fit_says_what_would():
    _, found = ask("1e9 tokens", "llm-13b", offers=[offer("t4", "T4", 0.5), offer("h100x8", "H100", 50.0, 8.0)])
    assert [one.offer.instance_type for one in found.options] == ["h100x8"]
    assert found.options[0].memory.verdict == "fits_with"
    (miss,) = [miss for miss in found.rejected if miss.wish == "memory"]
    assert "does not fit" in miss.reason and "QLoRA" in miss.reason


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (offer("k80", "K80", 0.9), "Kepler"),
        (offer("tpu", "TPU-v4", 1.0), "Google"),
        (offer("amd", "MI300X", 1.0), "nobody measured"),
        (offer("old", "A100", 1.0, age_days=500), "older than a year"),
        (offer("none", "A100", None), "no price"),
        (offer("odd", "A100", 1.0, status="suspect"), "suspect"),
        (offer("arm", "A100", 1.0, arch="arm64"), "arm64"),
    ],
)
def test_what_is_never_recommended(one, words):
    _, found = ask(offers=[*OFFERS, one])
    assert all(option.offer.instance_type != one.instance_type for option in found.options)
    (miss,) = [miss for miss in found.rejected if one.instance_type in miss.name]
    assert words in miss.reason


def test_consumer_cards_are_not_for_a_business_unless_asked():
    rented_3090 = [*OFFERS, offer("3090", "RTX3090", 0.3)]
    for wishes, there in (
        (Wishes(), True),
        (Wishes(profile="hobbyist"), True),
        (Wishes(profile="startup"), False),
        (Wishes(profile="company", consumer_ok=True), True),
    ):
        _, found = ask(wishes=wishes, offers=rented_3090)
        assert any(one.accelerator == "RTX3090" for one in found.options) is there


def test_what_cannot_be_started_has_only_a_price():
    _, found = ask(offers=[*OFFERS, offer("cheap", "A100", 0.1, cloud="elsewhere", provisionable=False)])
    assert [one.offer.instance_type for one in found.price_only] == ["cheap"]
    assert all(one.offer.instance_type != "cheap" for one in found.options)


def test_spot_counts_at_its_effective_price():
    spot = offer("a100", "A100", 1.0, market="spot")
    about = Interruptions(mtbf_s=6 * 3600)
    factor = spot_stretch(spot, 1, about)
    assert factor == pytest.approx(1.17, abs=0.01)
    _, found = ask(wishes=Wishes(market="any", interruptions=about), offers=[*OFFERS, spot])
    by_market = {(one.offer.instance_type, one.offer.market): one for one in found.options}
    one = by_market["a100", "spot"]
    assert one.effective_spot == pytest.approx(factor)
    assert one.hours == pytest.approx(by_market["a100", "on-demand"].hours * factor)
    assert by_market["a100", "on-demand"].effective_spot == pytest.approx(factor)
    assert "--spot" in one.command and any("interrupted every 6 h" in words for words in one.warnings)


def test_the_catalogs_interruption_band_is_taken_at_its_unlucky_end():
    band = replace(offer("x", "A100", 1.0, market="spot"), flags=("interruption=5-10%",))
    assert band_mtbf_s(band) == pytest.approx(30.4375 * 86400 / 0.10536, rel=1e-3)
    assert band_mtbf_s(replace(band, flags=("interruption=>20%",))) < band_mtbf_s(band)
    assert band_mtbf_s(replace(band, flags=("interruption=<5%",))) > band_mtbf_s(band)
    assert band_mtbf_s(replace(band, flags=())) is None


def test_spot_that_never_ends_is_no_option():
    spot = offer("a100", "A100", 1.0, market="spot")
    speed = Speed(1.0, 1.0, 1.0, "samples/s", "fp16", "measured", "", "")
    assert rented(spot, 1, speed, 1e6, Interruptions(mtbf_s=1.0)) is None


SERVER = System("server", "prebuilt_server", "A100", 8, 100_000, 4000, 2022)


def test_buying_is_compared_and_picked_only_for_a_stated_use():
    _, found = ask(systems=[SERVER])
    (bought,) = [one for one in found.options if one.kind == "own"]
    assert found.options[-1] is bought and not bought.eligible
    assert bought.own.break_even_utilisation > 0 and bought.own.versus == found.options[0].name
    _, stated = ask(systems=[replace(SERVER, usd=1000)], wishes=Wishes(terms=Terms(utilisation=0.9, stated_use=True)))
    assert stated.picks["cheapest"].kind == "own"


def test_the_crossing_is_where_the_totals_meet():
    _, found = ask(systems=[SERVER])
    (bought,) = [one for one in found.options if one.kind == "own"]
    rent = found.options[0]
    owned = ownership(SERVER, CARDS["A100"], Terms(utilisation=bought.own.break_even_utilisation))
    assert owned.usd_per_hour() * bought.hours == pytest.approx(rent.usd, rel=1e-6)


def test_machines_at_hand_cost_their_electricity():
    _, found = ask(wishes=Wishes(have=(("RTX3090", 2.0),)))
    first = found.options[0]
    assert first.system == "your own 2 x RTX3090" and first.usd < 5
    assert found.picks["startable_now"] is first


def test_a_measured_rate_scales_every_card():
    measured = parse_measured("2.1 steps/s@RTX3090")
    subject, found = ask("1000 steps", "", measured=measured, systems=[])
    assert subject.speed("RTX3090", 1.0).value == 2.1
    faster = subject.speed("H100", 1.0)
    assert faster.value == pytest.approx(2.1 * 2800 / 900, rel=0.02) and faster.basis == "predicted"
    assert found.options


def test_hours_on_a_gpu_are_work():
    subject, _ = ask("500h@V100", "")
    assert subject.amount == pytest.approx(500 * 3600)
    assert subject.speed("V100", 1.0).value == pytest.approx(1.0)
    of_model, _ = ask("10h@V100", "resnet50")
    assert of_model.amount == pytest.approx(10 * 3600 * 800)


def test_a_model_described_by_size_borrows_from_the_nearest():
    subject, _ = ask("1e9 tokens", "", params=7e9)
    found = subject.speed("A100", 8.0)
    assert found.value == pytest.approx(37000 * 0.75) and found.basis == "predicted"
    assert found.high / found.value == pytest.approx(1.5, rel=0.02)
    larger, _ = ask("1e9 tokens", "llm-13b")
    assert larger.speed("A100", 8.0).value == pytest.approx(37000 * 0.75 * 42 / 78)
    lora, _ = ask("1e9 tokens", "", params=7e9, method="lora")
    assert lora.speed("A100", 8.0).value == pytest.approx(37000 * 0.75 * 1.5)


def test_a_sweep_is_that_many_runs():
    one, _ = ask()
    forty, _ = ask(repeats=40 * 0.5)
    assert forty.amount == pytest.approx(20 * one.amount)


@pytest.mark.parametrize(
    "text", ["", "90", "90 parsecs", "x epochs", "0 epochs", "-1 tokens", "h@V100", "1e999 tokens"]
)
def test_work_that_is_none(text):
    with pytest.raises(UsageError) as caught:
        parse_work(text)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", "2.1", "2.1 steps/s", "2 epochs/s@T4", "0 steps/s@T4", "2 steps/day@T4"])
def test_rates_that_are_none(text):
    with pytest.raises(UsageError):
        parse_measured(text)


def test_rates_per_minute_and_hour():
    assert parse_measured("120 it/min@T4:2") == (2.0, "steps", "T4:2")


def test_units_that_do_not_match():
    with pytest.raises(UsageError, match="known in samples"):
        ask("1e9 tokens", "resnet50")
    with pytest.raises(UsageError, match="epoch"):
        ask("3 epochs", "llm-7b")
    with pytest.raises(UsageError, match="no model 'resnet51'"):
        ask("3 epochs", "resnet51")
    with pytest.raises(UsageError, match="how fast"):
        ask("3 steps", "")
    assert in_units_of(Work(3.0, "steps"), "steps", "", None) == 3.0


@settings(max_examples=40, deadline=None)
@given(st.floats(1, 2000), st.floats(1, 2000), st.floats(1, 5))
def test_more_time_or_money_never_worsens_the_pick(deadline, budget, more):
    def pick(limits):
        _, found = ask(wishes=Wishes(limits=limits, max_nodes=4))
        return found.picks["cheapest"], found.picks["fastest_within_budget"]

    base_cheap, base_fast = pick(Limits(deadline, budget))
    for wider in (Limits(deadline * more, budget), Limits(deadline, budget * more), Limits()):
        cheap, fast = pick(wider)
        if base_cheap is not None:
            assert cheap is not None and cheap.usd <= base_cheap.usd * (1 + 1e-9)
        if base_fast is not None and wider.budget_usd is not None:
            assert fast is not None and fast.hours <= base_fast.hours * (1 + 1e-9)


@settings(max_examples=20, deadline=None)
@given(st.floats(1, 1000), st.floats(1.01, 50))
def test_a_longer_mtbf_never_raises_the_spot_cost(hours, longer):
    spot = offer("a100", "A100", 1.0, market="spot")
    speed = Speed(100.0, 90.0, 110.0, "samples/s", "fp16", "measured", "", "")
    short, long = (rented(spot, 2, speed, 1e7, Interruptions(mtbf_s=h * 3600)) for h in (hours, hours * longer))
    assert long is not None and (short is None or long.usd <= short.usd + 0.01)


def test_the_same_question_gets_the_same_answer():
    first, again = (repr(ask(systems=[SERVER], wishes=Wishes(profile="startup"))[1]) for _ in range(2))
    assert first == again


def test_the_front_is_what_nothing_beats():
    _, found = ask()
    for position in range(len(found.options)):
        one = found.options[position]
        beaten = any(other.usd <= one.usd and other.hours <= one.hours and other is not one for other in found.options)
        assert (position in found.pareto) is not beaten


def test_ties_are_between_cards_and_the_shared_error_does_not_count():
    _, found = ask("1e9 tokens", "", params=7e9, offers=OFFERS[2:])
    best, other = found.options[0], found.options[1]
    assert other.usd / best.usd > 1.05 and not choose.tied(other, best)
    assert choose.tied(replace(other, usd=best.usd * 1.02), best)
    assert not choose.tied(replace(best, usd=best.usd * 1.01), best)


def test_a_profiles_rule_is_tested_by_the_numbers():
    dear, cheap = replace(SERVER, usd=10_000_000), replace(SERVER, usd=1000)
    for system, verdict in ((dear, "confirmed"), (cheap, "overturned")):
        _, found = ask(systems=[system], wishes=Wishes(profile="company"))
        assert found.advice["verdict"] == verdict and "owning pays" in found.advice["why"]
    _, own = ask(systems=[dear], wishes=Wishes(profile="startup", stage="development"))
    assert own.advice["verdict"] == "overturned"
    assert ask()[1].advice is None
    with pytest.raises(UsageError):
        rules.check("student", "training")
    with pytest.raises(UsageError):
        rules.check(None, "sleeping")


def test_the_step_of_a_card_that_nobody_measured_fills_its_memory_like_the_others():
    rows = [
        replace(vision(name, rate), batch_size=batch)
        for name, rate, batch in (("A100", 1600.0, 320), ("V100", 800.0, 64))
    ]
    plain, sized = (Speeds(rows, CARDS, parameters=size) for size in (None, 25e6))
    assert plain.of("T4", 1, 4).way.endswith("(ordinary network, median of models)")
    one, four = sized.of("T4").value, sized.of("T4", 1, 4)
    step_s = 16 * 4 / one  # four samples for each GiB
    transfer_s = 1.5 * 0.1 / 0.92
    assert four.value == pytest.approx(4 * one * step_s / (step_s + transfer_s - 0.34 * step_s))
    assert "0.1 GB of gradients after steps of" in four.way


def test_efficiency_is_measured_then_by_link_then_by_the_median():
    known = MultiGpu([row for row in ROWS if row.model == "resnet50"])
    assert known.inside(8, "nvswitch").share == pytest.approx(12000 / 8 / 1600)
    assert known.inside(4, "pcie").source.startswith("same model, any link")
    unknown = MultiGpu([])
    assert unknown.inside(8, "nvlink").share == pytest.approx(0.80)
    assert unknown.inside(8, "").share == pytest.approx(0.93)
    assert unknown.inside(1).share == unknown.across(1).share == 1
    assert [round(unknown.across(n).share, 2) for n in (2, 4, 8)] == [0.46, 0.32, 0.26]
    assert unknown.across(16).share < 0.26 < unknown.across(6).share < 0.32
    assert unknown.across(32, "infiniband").share > 0.85
    # 100 MB of gradients twice over 0.92 GB/s at 2 x (n-1)/n, of which a third of each step hides 0.034 s
    waiting = [unknown.across(n, "", Step(0.1, 25e6)).share for n in (2, 8, 64)]
    assert waiting[0] == pytest.approx(0.1 / (0.1 + 0.1 / 0.92 - 0.034))
    assert waiting[1] == pytest.approx(0.1 / (0.1 + 1.75 * 0.1 / 0.92 - 0.034)) and waiting == sorted(waiting)[::-1]
    # steps a second on one server, and what 2, 4 and 8 of them kept, as Gavel measured (ResNet-50 and ResNet-18)
    for rate, parameters, kept in (
        (7.7873, 25.6e6, (0.576, 0.412, 0.366)),  # V100, batch 32
        (2.4968, 25.6e6, (0.868, 0.752, 0.698)),  # V100, batch 128
        (1.2366, 25.6e6, (1.0, 1.0, 1.0)),  # K80, batch 32
        (32.353, 11.2e6, (0.546, 0.314, 0.249)),  # V100, batch 16
    ):
        shares = [unknown.across(nodes, "", Step(1 / rate, parameters)).share for nodes in (2, 4, 8)]
        assert shares == pytest.approx(kept, rel=0.3)
    assert unknown.across(8, "", Step(10.0, 25e6)).share == unknown.across(8, "infiniband").share  # all is hidden
    assert unknown.across(8, "", Step(0.1, 340e6)).share < 0.05  # short ones of a large model do not
    assert unknown.across(32, "infiniband", Step(0.1, 25e6)) == unknown.across(32, "infiniband")


@given(st.integers(2, 64), st.sampled_from(("nvswitch", "pcie", "")), st.sampled_from(("", "efa")))
def test_efficiency_never_grows_with_more_machines(nodes, link, fabric):
    known = MultiGpu([])
    assert 0 < known.across(nodes + 1, fabric).share <= known.across(nodes, fabric).share <= 1
    assert 0 < known.inside(nodes + 1, link).share <= known.inside(nodes, link).share <= 1


def test_a_row_stands_as_it_is_unless_its_software_is_far_off():
    new = [
        Benchmark(name, 1.0, "m", rate, "samples/s", precision="fp16", framework="new", year=2025)
        for name, rate in list(RATES.items())[:5]
    ]
    near = Benchmark("K80", 1.0, "m", 90.0, "samples/s", precision="fp16", framework="old", year=2020)
    bridge = Benchmark("T4", 1.0, "m", 360.0, "samples/s", precision="fp16", framework="old", year=2020)
    found = Speeds([*new, near, bridge], CARDS).of("K80")
    assert (found.value, found.basis) == (90.0, "measured") and found.high == pytest.approx(100)
    far = [replace(near, framework="odd", throughput=300.0), replace(bridge, framework="odd", throughput=1200.0)]
    scaled = Speeds([*new, *far], CARDS).of("K80")
    assert scaled.basis == "predicted" and scaled.value == pytest.approx(100)


def test_the_newest_row_of_a_software_wins():
    rows = [
        Benchmark("T4", 1.0, "m", rate, "samples/s", precision="fp16", framework="f", year=year)
        for rate, year in ((300.0, 2020), (400.0, 2024))
    ]
    assert Speeds(rows, CARDS).of("T4").value == 400.0


def test_relative_rates_over_all_models():
    rates = relative_rates(ROWS, CARDS, "V100")
    assert rates["V100"] == 1 and rates["H100"] == pytest.approx(3.5)
    assert relative_rates(ROWS, CARDS, "MI300X") == {}
