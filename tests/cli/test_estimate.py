"""`gpucloud estimate`: options, ranges, JSON keys, and sentences for what makes no sense."""

from __future__ import annotations

import json
import re

import pytest

from gpucloud.cli.app import main


@pytest.fixture(autouse=True)
def fresh_home(tmp_path, monkeypatch):
    monkeypatch.setenv("GPUCLOUD_HOME", str(tmp_path))


def ask(capsys, *words: str) -> dict:
    assert main(["estimate", *words, "-o", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_train_answers_lie_flat(capsys):
    answer = ask(capsys, "train", "--params", "7e9", "--tokens", "1e12", "--peak-tflops", "312", "--mfu", "40%",
                 "--count", "8", "--usd-per-gpu-hour", "2", "--watts-per-gpu", "400")  # fmt: skip
    assert answer["version"] == 1 and answer["kind"] == "estimate"
    assert {"hours", "days", "gpu_hours", "gpu_years", "mfu", "throughput_per_gpu", "count", "usd", "kwh"} <= set(
        answer
    )
    assert answer["gpu_hours"] == pytest.approx(6 * 7e9 * 1e12 / (0.4 * 312e12) / 3600)
    assert answer["usd"] == pytest.approx(2 * answer["gpu_hours"])
    assert answer["assumed"] == {"flops_per_param_token": 6.0, "pue": 1}


def test_ranges_give_low_and_high(capsys):
    answer = ask(capsys, "train", "--hours", "12", "--count", "8", "--usd-per-gpu-hour", "0.43..1.46")
    assert (answer["usd_low"], answer["usd_high"]) == pytest.approx((41.28, 140.16))
    assert "usd" not in answer and answer["gpu_hours"] == 96


def test_a_deadline_gives_the_count(capsys):
    answer = ask(capsys, "train", "--gpu-hours", "1000", "--deadline", "2d")
    assert answer["count"] == 21 and answer["meets_deadline"] is True


def test_throughput_may_name_its_unit(capsys):
    assert ask(capsys, "train", "--samples", "367", "--throughput", "367 images/s")["hours"] == pytest.approx(1 / 3600)
    assert ask(capsys, "train", "--hours", "2d", "--usd-per-hour", "1")["usd"] == pytest.approx(48)


def test_memory(capsys):
    answer = ask(capsys, "memory", "--params", "7.5e9", "--zero", "2", "--gpus", "64", "--gpu-memory", "40GB")
    assert answer["state_gb"] == pytest.approx(16.6, rel=0.01)
    assert answer["verdict"] == "fits" and answer["with"] == []


def test_memory_says_what_must_be_given_up(capsys):
    shape = ("--layers", "32", "--d-model", "4096", "--seq", "8192")
    answer = ask(capsys, "memory", "--params", "8e9", "--gpu-memory", "80GB", "--gpus", "8", *shape)
    assert answer["verdict"] == "fits_with" and answer["with"]
    assert answer["gib_per_gpu_with"] < 80 < answer["gib_per_gpu"]


def test_memory_verdict_over_a_range(capsys):
    answer = ask(capsys, "memory", "--params", "1e9..1e12", "--method", "lora", "--gpu-memory", "24GB")
    assert (answer["verdict_low"], answer["verdict_high"]) == ("fits", "does_not_fit")


def test_the_memory_of_a_named_card(capsys):
    assert ask(capsys, "memory", "--params", "1e9", "--gpu", "T4")["verdict"] == "fits_with"
    answer = ask(capsys, "train", "--params", "1e9", "--tokens", "1e9", "--gpu", "h100", "--mfu", "0.5")
    assert answer["assumed"]["peak_tflops"] == 989 and answer["gpu_hours"] > 0
    assert main(["estimate", "memory", "--params", "1e9", "--gpu", "A100"]) == 2
    assert "A100-SXM-40GB" in capsys.readouterr().err


def test_scaling(capsys):
    answer = ask(capsys, "scaling", "--per-gpu", "--point", "128=10475", "--point", "512=9670", "--at", "256")
    assert answer["efficiency"] == pytest.approx(0.923, abs=0.001)
    assert answer["predicted"] == pytest.approx(10119, rel=0.03)


def test_comm(capsys):
    answer = ask(capsys, "comm", "--params", "1e9", "--gbit-per-s", "8", "--gpus", "4")
    assert answer["transfer_s"] == pytest.approx(4)
    assert answer["allreduce_s"] == pytest.approx(6) and answer["efficiency"] is None
    ring = ("comm", "--params", "1e9", "--gbit-per-s", "8", "--gpus", "4", "--step", "6s")
    assert ask(capsys, *ring)["efficiency"] == pytest.approx(0.5)
    assert ask(capsys, *ring, "--hidden", "50%")["efficiency"] == pytest.approx(6 / 9)


def test_spot(capsys):
    answer = ask(capsys, "spot", "--checkpoint", "60s", "--mtbf", "10h", "--on-demand", "10", "--spot", "3")
    assert answer["interval_s"] == pytest.approx(2078, rel=0.001)
    assert answer["effective_usd_per_hour"] == pytest.approx(3 * answer["stretch"])
    assert answer["saving"] == pytest.approx(1 - 0.3 * answer["stretch"])


def test_spot_from_prices_alone(capsys):
    assert ask(capsys, "spot", "--on-demand", "500", "--spot", "140")["saving"] == pytest.approx(0.72)


def test_failure_rates(capsys):
    assert ask(capsys, "spot", "--failures", "419", "--over", "54d")["mtbf_h"] == pytest.approx(3.09, rel=0.01)
    fleet = ("--failures-per-1000-node-days", "6.5", "--gpus", "16384", "--gpus-per-node", "8")
    assert ask(capsys, "spot", *fleet)["mtbf_h"] == pytest.approx(1.8, rel=0.01)
    assert ask(capsys, "spot", "--checkpoint", "60", "--mtbf", "10h", "--nodes", "10")["mtbf_h"] == pytest.approx(1)


def test_a_range_of_intervals_contains_its_optimum(capsys):
    answer = ask(capsys, "spot", "--checkpoint", "60s", "--mtbf", "10h", "--interval", "100s..36000s")
    best = ask(capsys, "spot", "--checkpoint", "60s", "--mtbf", "10h")
    assert answer["stretch_low"] == pytest.approx(best["stretch"], rel=0.02)


def test_own(capsys):
    answer = ask(capsys, "own", "--price", "2200", "--watts", "450", "--usd-per-kwh", "0.12", "--utilisation", "0.15",
                 "--versus", "2.14")  # fmt: skip
    assert answer["break_even_days"] == pytest.approx(293, rel=0.001)
    assert answer["break_even_months"] == pytest.approx(293 / 30.4375, rel=0.001)
    assert answer["assumed"]["rate"] == 0


def test_own_by_year_and_resale(capsys):
    words = ("own", "--price", "1000", "--ops-per-year", "100", "--years", "3")
    assert ask(capsys, *words)["total_usd"] == [1100, 1200, 1300]
    assert ask(capsys, *words, "--resale", "20%")["total_usd"] == [1100, 1200, 1100]
    assert ask(capsys, *words, "--resale", "300")["total_usd"] == [1100, 1200, 1000]


def test_energy(capsys):
    answer = ask(capsys, "energy", "--watts", "400", "--hours", "1d", "--count", "8", "--usd-per-kwh", "0.1")
    assert answer["kwh"] == pytest.approx(76.8) and answer["usd"] == pytest.approx(7.68)
    assert answer["kg_co2"] is None


@pytest.mark.parametrize("output", ["table", "csv", "markdown", "wide"])
def test_other_outputs_print_the_answers(capsys, output):
    assert main(["estimate", "energy", "--watts", "400..500", "--hours", "24", "-o", output]) == 0
    assert "kwh" in capsys.readouterr().out.lower()


FOR_PEOPLE = [
    "train --params 7e9 --tokens 1e12 --gpu T4 --count 8..16 --mfu 30%..50% --usd-per-gpu-hour 2 --watts-per-gpu 500",
    "train --hours 10 --count 8 --usd-per-hour 20",
    "memory --params 7B --gpu H200 --layers 32 --d-model 4096 --seq 2048 --vocab 32000",
    "memory --params 70B --method lora --gpu T4",
    "memory --params 1e8 --gpu-memory 16GB",
    "scaling --point 1=2470 --point 8=16621 --at 64",
    "scaling --point 1=100 --point 2=300",
    "comm --params 25e6 --gbit-per-s 10 --gpus 8 --step 300ms",
    "own --price 60000 --watts 6500 --usd-per-kwh 0.15 --years 3 --versus 22",
    "own --price 60000 --years 3 --versus 0.001",
    "energy --watts 400 --hours 24 --usd-per-kwh 0.15 --kg-co2-per-kwh 0.4",
    "spot --on-demand 3.67 --spot 1.2 --checkpoint 1m..3m --mtbf 8h",
    "spot --on-demand 3.67 --spot 1.2",
]


@pytest.mark.parametrize("words", FOR_PEOPLE)
def test_people_read_words_with_units(capsys, words):
    assert main(["estimate", *words.split()]) == 0
    out = capsys.readouterr().out
    assert "_" not in out, "a key of the JSON is no word"
    assert max(map(len, out.splitlines())) <= 80


def test_a_range_is_one_line_and_a_share_is_in_per_cent(capsys):
    assert main(["estimate", "spot", "--on-demand", "4", "--spot", "1..2"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"Price of an hour of progress +1 \.\. 2  USD/h", out)
    assert re.search(r"Saved against on demand +50% \.\. 75%", out)


def test_money_by_year_has_a_line_a_year_and_its_range(capsys):
    assert main(["estimate", "own", "--price", "1000..2000", "--ops-per-year", "100", "--years", "2"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"Spent after year 1 +1,100 \.\. 2,100  USD", out)
    assert re.search(r"Spent after year 2 +1,200 \.\. 2,200  USD", out)


NONSENSE = [
    "train",
    "train --params 0 --tokens 1e9 --hours 3",
    "train --params -7e9 --tokens 1e9 --hours 3",
    "train --params x --tokens 1e9",
    "train --tokens 1e9 --samples 1e6 --hours 1",
    "train --tokens 1e9 --throughput 30_images/s",
    "train --params 1e9 --tokens 1e9 --mfu 1.5 --peak-tflops 312",
    "train --params 1e9 --tokens 1e9 --mfu 50 --peak-tflops 312",
    "train --hours 10 --count 8 --gpu-hours 100",
    "train --hours 10 --count 1.5",
    "train --hours 10 --gpu NoSuchCard",
    "train --hours 10 --gpu T4 --peak-tflops 65",
    "memory",
    "memory --params 1e9 --optimizer lion",
    "memory --params 1e9 --zero 4",
    "memory --params 1e9 --layers 3",
    "memory --params 1e9 --batch 3",
    "memory --params 1e9 --gpu T4 --gpu-memory 16GB",
    "memory --params 1e9 --gpu-memory 16XB",
    "scaling",
    "scaling --point 8",
    "scaling --point 0=3",
    "scaling --point 1=3 --at 8",
    "scaling --point 1=3 --point 1=4",
    "comm --params 1e9",
    "comm --params 1e9 --gb-per-s 1 --gbit-per-s 8",
    "comm --params 1e9 --gb-per-s 1 --step 3s",
    "comm --params 1e9 --gb-per-s 1 --gpus 4 --step 3s --hidden 2",
    "spot",
    "spot --mtbf 10h",
    "spot --checkpoint 60s --mtbf 0h",
    "spot --checkpoint 60s --mtbf 1s --restart 3h",
    "spot --failures 3",
    "spot --failures 3 --over 1d --mtbf 3h",
    "spot --failures-per-1000-node-days 6.5",
    "own",
    "own --price 100 --utilisation 40",
    "own --price 100 --pue 0.5",
    "own --price 100 --watts 300",
    "own --price 100 --years 1..3",
    "energy --watts 300",
    "energy --watts 300 --hours 10parsecs",
]


@pytest.mark.parametrize("line", NONSENSE)
def test_bad_input_is_one_sentence_one_hint_and_exit_2(capsys, line):
    words = [word.replace("_", " ") for word in line.split()]
    assert main(["estimate", *words, "-o", "json"]) == 2
    out, err = capsys.readouterr()
    error = json.loads(err)["error"]
    assert out == "" and error["code"] == "usage" and error["message"].endswith(".") and error["hint"]
