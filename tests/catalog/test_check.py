"""`catalog check` sees every file of both layers, and the shipped catalog has no problem."""

from __future__ import annotations

from datetime import date

from gpucloud.catalog.check import check
from gpucloud.catalog.location import catalog_folder
from tests.small_catalog import FILES, put, write

TODAY = "2026-07-01"


def rules_of(folder, overlay=None):
    return [
        (problem.file, problem.line, problem.column, problem.rule) for problem in check(folder, overlay, TODAY).problems
    ]


def test_the_shipped_catalog_obeys_every_rule():
    checked = check(catalog_folder({}), None, date.today().isoformat())
    assert checked.problems == []
    assert checked.rows["offers/gcp.csv"] > 5000 and len(checked.rows) > 30


def test_the_small_catalog_is_clean(tmp_path):
    assert rules_of(write(tmp_path)) == []


def test_faults_of_several_files_are_all_found(tmp_path):
    folder = write(
        tmp_path,
        aliases="alias,accelerator\nx,B999\n",
        offers_aws=FILES["offers/aws.csv"] + "p4d,eu-west-1,on-demand,x,open,2026-06-01,current,list-a,\n",
        offers_lambda="instance_type,usd_per_hour,observed_on,source\nnone,5,2026-06-01,list-z\n",
        models="model,source\nresnet50,list-a\nmlperf-resnet50,list-a\n",
    )
    put(folder, "notes.csv", "a,b\n")
    assert rules_of(folder) == [
        ("aliases.csv", 2, "accelerator", "known"),
        ("benchmarks.csv", 9, "model", "known"),
        ("notes.csv", 1, "", "file"),
        ("offers/aws.csv", 9, "usd_per_hour", "value"),
        ("offers/lambda.csv", 2, "instance_type", "known"),
        ("offers/lambda.csv", 2, "source", "known"),
    ]


def test_an_overlay_is_checked_with_the_names_of_both_layers(tmp_path):
    folder, overlay = write(tmp_path / "csv"), tmp_path / "catalog"
    put(overlay, "offers/aws.csv", "instance_type,usd_per_hour,observed_on,source\np4d,5,2026-06-01,mine\n")
    assert rules_of(folder, overlay) == [("catalog/offers/aws.csv", 2, "source", "known")]
    put(overlay, "sources.csv", "source\nmine\n")
    assert rules_of(folder, overlay) == []


def test_counts_tell_what_was_looked_at(tmp_path):
    checked = check(write(tmp_path, aliases="alias,accelerator\nx,B999\n"), None, TODAY)
    counts = checked.counts()
    assert counts["problems"] == 1 and counts["by_rule"] == {"known": 1}
    assert counts["files"] == len(FILES) and counts["rows_by_file"]["offers/aws.csv"] == 7
