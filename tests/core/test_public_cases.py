"""Published calculations, recomputed: each must come out inside its tolerance (figures and sources in the CSV)."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from gpucloud.core.choose import Limits, feasible, ranked
from gpucloud.core.comm import allreduce_s, comm_efficiency
from gpucloud.core.energy import energy_kwh
from gpucloud.core.memory import TrainingJob, fit, need
from gpucloud.core.offers import Accelerator
from gpucloud.core.options import Option
from gpucloud.core.ownership import Ownership
from gpucloud.core.predict import Predictor
from gpucloud.core.pricing import contradicts_list
from gpucloud.core.scaling import scaling
from gpucloud.core.speed import Speed
from gpucloud.core.spot import young_interval_s
from gpucloud.core.train_time import train

FILE = Path(__file__).parents[1] / "data" / "cases_public.csv"
ROOT = Path(__file__).parents[2]
CASES = {row["id"]: row for row in csv.DictReader(FILE.read_text(encoding="ascii").splitlines())}


def inputs(case: str) -> dict:
    return json.loads(CASES[case]["inputs"])


def published(case: str):
    return json.loads(CASES[case]["published_output"])


def of(*ids: str):
    """Run a test for these cases; which ones have a test is checked at the end."""
    TESTED.update(ids)
    return pytest.mark.parametrize("case", ids)


TESTED: set[str] = set()


@of(
    "dawn-imagenet-fastai-16x",
    "dawn-imagenet-fastai-8x",
    "dawn-imagenet-gehc-1x",
    "dawn-imagenet-lambda-4x1080ti",
    "dawn-imagenet-tpu-v2-fastai",
    "dawn-imagenet-tensorpack",
    "dawn-cifar-k80-pytorch",
    "dawn-cifar-g3-resnet50",
)
def test_the_cost_of_a_timed_run(case):
    given = inputs(case)
    usd = train({"hours": given["hours_to_target"], "usd_per_hour": given["usd_per_hour"]})["usd"]
    assert usd == pytest.approx(published(case), rel=0.01, abs=0.005)


@of("strubell-transformer-base-cost-range", "strubell-elmo-cost-range")
def test_the_cost_between_preemptible_and_on_demand(case):
    given = inputs(case)
    for end, usd in zip(("low", "high"), published(case), strict=True):
        answer = train(
            {"hours": given["hours"], "count": given["gpus"], "usd_per_gpu_hour": given[f"usd_per_gpu_hour_{end}"]}
        )
        assert answer["usd"] == pytest.approx(usd, rel=0.01)


@of("strubell-gpt2-tpu")
def test_the_cost_on_tpus(case):
    given = inputs(case)
    for end, usd in zip(("low", "high"), published(case), strict=True):
        price = given[f"usd_per_device_hour_{end}"]
        answer = train({"hours": given["hours"], "count": given["devices"], "usd_per_gpu_hour": price})
        assert answer["usd"] == pytest.approx(usd, rel=0.01)


@of("llmc-gpt2-124m")
def test_steps_times_seconds(case):
    given = inputs(case)
    answer = train(
        {
            "steps": given["steps"],
            "seconds_per_step": given["seconds_per_step"],
            "usd_per_hour": given["node_usd_per_hour"],
        }
    )
    hours, usd = published(case)
    assert answer["hours"] == pytest.approx(hours, rel=0.02)
    assert answer["usd"] == pytest.approx(usd, rel=0.12)


@of("fsdl22-lecture-text-mismatch")
def test_the_lecture_paired_the_wrong_price_with_the_time(case):
    four_v100 = inputs(case)["instances"]["4 x V100"]["usd_per_hour"]
    usd = train({"hours": 72.0, "usd_per_hour": four_v100})["usd"]
    assert usd == pytest.approx(published(case), rel=0.01)
    assert abs(usd - 1750) > 800


@of("mosaic-cost-per-1b-tokens")
def test_the_cost_of_a_billion_tokens_and_the_price_ratio_that_breaks_even(case):
    options = inputs(case)["options"]
    usd = {}
    for name, option in options.items():
        answer = train(
            {
                "tokens": 1e9,
                "throughput_per_gpu": option["tokens_per_s_per_gpu"],
                "usd_per_gpu_hour": option["usd_per_gpu_hour"],
            }
        )
        usd[name] = answer["usd"]
        assert usd[name] == pytest.approx(published(case)[name], rel=0.01)
    ratio = options["H100 80GB"]["usd_per_gpu_hour"] / options["A100 80GB"]["usd_per_gpu_hour"]
    assert ratio * usd["A100 80GB"] / usd["H100 80GB"] == pytest.approx(2.29, rel=0.01)


@of("strubell-transformer-base-energy", "strubell-bert-base-v100-energy")
def test_energy_of_a_measured_power(case):
    given = inputs(case)
    tolerance = float(CASES[case]["tolerance"].split()[1])
    kwh = energy_kwh(given["avg_power_w"], given["hours"], pue=given["pue"])
    assert kwh == pytest.approx(published(case), rel=tolerance)


@of("llama1-energy-llama-7b", "llama1-energy-llama-65b")
def test_energy_of_gpu_hours(case):
    given = inputs(case)
    answer = train({"gpu_hours": given["gpu_hours"], "watts_per_gpu": given["watt_per_gpu"], "pue": given["pue"]})
    assert answer["kwh"] / 1000 == pytest.approx(published(case), rel=0.01)


@of("llmc-124m-mfu")
def test_the_mfu_of_a_timed_run(case):
    given = inputs(case)
    answer = train(
        {
            "params": given["params"],
            "tokens": given["tokens"],
            "count": given["gpus"],
            "peak_tflops": given["peak_tflops"],
            "hours": given["hours"],
        }
    )
    assert answer["mfu"] == pytest.approx(published(case), rel=0.08)


@of("llama2-70b-implied-mfu", "llama3.1-405b-implied-mfu")
def test_the_mfu_of_published_gpu_hours(case):
    given = inputs(case)
    answer = train({key: given[key] for key in ("params", "tokens", "gpu_hours", "peak_tflops")})
    assert answer["mfu"] == pytest.approx(published(case), rel=0.03)


@of("llama1-65b-days")
def test_days_from_throughput(case):
    given = inputs(case)
    answer = train(
        {"tokens": given["tokens"], "count": given["gpus"], "throughput_per_gpu": given["tokens_per_s_per_gpu"]}
    )
    assert answer["days"] == pytest.approx(published(case), rel=0.02)


@of("megatron-1t-days")
def test_days_from_achieved_tflops_with_recomputation(case):
    given = inputs(case)
    answer = train(
        {
            "params": given["params"],
            "tokens": given["tokens"],
            "count": given["gpus"],
            "achieved_tflops": given["achieved_tflops_per_gpu"],
            "flops_per_param_token": given["flops_per_param_token"],
        }
    )
    assert answer["days"] == pytest.approx(published(case), rel=0.02)


@of("deepseek-v3-days")
def test_days_from_gpu_hours(case):
    given = inputs(case)
    assert train({"gpu_hours": given["gpu_hours"], "count": given["gpus"]})["days"] == pytest.approx(
        published(case), rel=0.02
    )


@of("mosaic-mpt13b-a100", "mosaic-mpt1b-a100", "mosaic-mpt3b-h100-64k")
def test_the_mfu_with_attention_and_back(case):
    given = inputs(case)
    shape = {key: given[key] for key in ("params", "layers", "d_model", "seq", "peak_tflops")}
    mfu = train({**shape, "throughput_per_gpu": given["tokens_per_s_per_gpu"]})["mfu"]
    assert mfu == pytest.approx(published(case), rel=0.015)
    assert train({**shape, "mfu": mfu})["throughput_per_gpu"] == pytest.approx(given["tokens_per_s_per_gpu"])


@of("nv-resnet50-90ep-v100-fp32-1")
def test_hours_of_ninety_epochs(case):
    given = inputs(case)
    samples = given["images_per_epoch"] * given["epochs"]
    hours = train({"samples": samples, "throughput": given["images_per_s"]})["hours"]
    assert hours == pytest.approx(published(case), rel=0.08)


@of("nanogpt-ckpt")
def test_the_size_of_a_checkpoint(case):
    given = inputs(case)
    job = TrainingJob(params=given["params"], bytes_per_param=given["bytes_per_param_saved"])
    assert need(job).state_gb == pytest.approx(published(case), rel=0.01)


@of("zero-7.5b-stage2")
def test_state_per_gpu_by_zero_stage(case):
    given = inputs(case)
    job = TrainingJob(params=given["params"], zero=2, ranks=given["data_parallel"])
    assert need(job).state_gb == pytest.approx(published(case), rel=0.02)
    stages = [need(TrainingJob(params=7.5e9, zero=stage, ranks=64)).state_gb for stage in range(4)]
    assert stages == pytest.approx([120, 31.4, 16.6, 1.9], rel=0.02)


@of("qlora-65b-full")
def test_full_fine_tuning_of_65b(case):
    given = inputs(case)
    stated = TrainingJob(params=given["params"], bytes_per_param=given["bytes_per_param"])
    assert need(stated).state_gb == pytest.approx(published(case), rel=0.01)
    assert need(TrainingJob(params=given["params"])).state_gb >= published(case)


@of("peft-bloomz-7b1")
def test_full_training_does_not_fit_and_lora_does(case):
    given = inputs(case)
    full = TrainingJob(params=given["params"], precision="fp32")
    lora = TrainingJob(params=given["params"], method="lora")
    asked = frozenset({"optimizer", "method"})
    assert fit(full, given["gpu_gb"], asked).verdict == "does_not_fit"
    assert fit(lora, given["gpu_gb"], asked).verdict == "fits"
    assert need(lora).state_gb == pytest.approx(published(case)["lora_gb"], rel=0.4)


@of("vicuna-7b-spot")
def test_the_saving_of_managed_spot_lies_where_the_model_puts_it(case):
    given = inputs(case)
    saving = 1 - given["spot_usd"] / given["on_demand_usd"]
    assert saving == pytest.approx(published(case), abs=0.01)
    dearest, cheapest = 1 - 0.40 * 1.10, 1 - 0.25 * 1.0
    assert dearest <= saving <= cheapest


@of("mosaic-scaling-7b-128-512")
def test_efficiency_of_two_points_and_the_one_between(case):
    points = {float(n): y for n, y in inputs(case)["tokens_per_s_per_gpu"].items()}
    answer = scaling(points, 256.0, per_gpu=True)
    assert answer["efficiency"] == pytest.approx(published(case), abs=0.002)
    assert answer["predicted"] == pytest.approx(10119, rel=0.03)


@of("nv-scaling-resnet50-a100-amp", "nv-scaling-bert-large-a100-32nodes")
def test_speed_up_of_measured_points(case):
    given = inputs(case)
    tolerance = float(CASES[case]["tolerance"].split()[1])
    answer = scaling({1.0: given["throughput_1"], float(given["n"]): given["throughput_n"]})
    assert answer["speedup"] == pytest.approx(published(case), rel=tolerance)


@of("horovod-512")
def test_effective_gpus_and_who_scales_worst(case):
    given = inputs(case)
    for model, efficiency in given["efficiency"].items():
        answer = scaling({1.0: 1.0, float(given["gpus"]): efficiency}, per_gpu=True)
        assert answer["speedup"] == pytest.approx(published(case)[model], rel=0.01)
    # parameters and forward GFLOP of one image (torchvision), batch 64 on a 25 GbE link, as in the source's cluster
    sizes = {"Inception V3": (27.2e6, 5.7), "ResNet-101": (44.5e6, 7.8), "VGG-16": (138.4e6, 15.5)}
    predicted = {}
    for model, (params, gflop) in sizes.items():
        step_s = 64 * 3 * gflop * 1e9 / 5e12
        predicted[model] = comm_efficiency(step_s, allreduce_s(params, 4, 25 / 8, 512), hidden_share=0.5)
    assert min(predicted, key=predicted.__getitem__) == "VGG-16"


@of("dettmers-breakeven-ondemand")
def test_the_day_a_desktop_has_paid_for_itself(case):
    given = inputs(case)
    desktop = Ownership(
        price_usd=given["desktop_usd"],
        years=1,
        utilisation=given["utilisation"],
        watts=given["gpu_w"] + given["cpu_w"],
        usd_per_kwh=given["usd_per_kwh"],
    )
    assert desktop.break_even_days(given["cloud_usd_per_hour"]) == pytest.approx(published(case), rel=0.03)


@of("technolynx-8xh100-tco")
def test_the_sum_over_three_years(case):
    given = inputs(case)
    for end, usd in enumerate(published(case)):
        yearly = (given["colo_usd"][end] + given["ops_usd"][end]) / 3
        assert Ownership(given["hardware_usd"][end], 3, yearly_usd=yearly).totals_usd()[-1] == pytest.approx(usd)


@of("lambda-hyperplane16-tco-1x")
def test_the_total_at_one_three_and_five_years(case):
    given = inputs(case)
    started_fours = -(-given["systems"] // 4)
    yearly = given["colocation_usd_per_year"] + started_fours * given["admin_usd_per_year_per_4_systems"]
    totals = Ownership(given["upfront_usd"], 5, yearly_usd=yearly).totals_usd()
    assert [totals[0], totals[2], totals[4], totals[4] / 5] == pytest.approx(published(case), rel=0.001)


@of("young-veloc", "young-llama-cluster", "young-graph-6.7s")
def test_youngs_interval(case):
    given = inputs(case)
    interval = young_interval_s(given["checkpoint_seconds"], given["mtbf_seconds"])
    assert interval == pytest.approx(published(case), rel=0.02)


def timed(name: str, hours: float, usd: float) -> Option:
    """An option of which only time and cost are known."""
    speed = Speed(1.0, 1.0, 1.0, "samples/s", "fp16", "measured", "", "")
    return Option("rent", name, 1, 1, speed, hours, hours, hours, usd, usd, usd, system=name)


@of("dawn-rank-imagenet-cost")
def test_the_order_by_cost_of_the_job(case):
    options = [timed(name, hours, hours * price) for name, (hours, price) in inputs(case)["options"].items()]
    assert [option.system for option in ranked(options)] == published(case)


@of("dawn-deadline-budget")
def test_the_choice_under_deadline_and_budget(case):
    given = inputs(case)
    options = [timed(name, *figures) for name, figures in given["options_hours_usd"].items()]
    limits = Limits(given["deadline_hours"], given["budget_usd"])
    assert [option.system for option in ranked(feasible(options, limits))] == [CASES[case]["published_output"]]


@of("mosaic-a100-to-h100-7b")
def test_an_unseen_card_from_one_that_was_measured(case):
    given = inputs(case)
    cards = {
        name: Accelerator(
            name, name, "nvidia", memory_gib=80, bandwidth_gb_s=given[name]["gb_s"],
            fp16_tensor_tflops=given[name]["fp16_tflops"],
        )
        for name in ("a100", "h100")
    }  # fmt: skip
    found = Predictor({"a100": given["a100_tokens_per_s_per_gpu"]}, cards, "bf16").predict(cards["h100"])
    assert found is not None and found.value == pytest.approx(published(case), rel=0.15)


@of("dawn-k80-swapped-price")
def test_swapped_prices_are_seen(case):
    given = inputs(case)
    for entry in given["entries"]:
        listed = given["list_usd_h"][entry["instance"]]
        assert contradicts_list(entry["recorded_usd_h"], listed)
        assert not contradicts_list(listed, listed)
    rows = csv.DictReader((ROOT / "catalogs" / "benchmarks.csv").read_text(encoding="ascii").splitlines())
    wrong = {row["accelerator"] for row in rows if "source_price_wrong" in row["flags"]}
    assert {"K80", "M60"} <= wrong


def test_every_published_case_has_a_test():
    assert set(CASES) == TESTED and len(CASES) == 47
