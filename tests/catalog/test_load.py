"""A bad row is an error that names file, line and column; a good one is read exactly."""

from __future__ import annotations

import pytest

from gpucloud.catalog.catalog import open_catalog
from gpucloud.catalog.load import batches, read
from gpucloud.catalog.schema import OFFER_TABLE, TABLES
from gpucloud.core.errors import UsageError
from tests.small_catalog import FILES, put, write

HEADER = "instance_type,region,market,usd_per_hour,observed_on,status,source\n"


def fault(tmp_path, **changed) -> UsageError:
    with pytest.raises(UsageError) as caught:
        open_catalog(folder=write(tmp_path, **changed))
    return caught.value


@pytest.mark.parametrize(
    ("row", "column", "words"),
    [
        ("p4d,us-east-1,on-demand,twenty,2026-06-01,current,list-a", "usd_per_hour", "'twenty' is not a number"),
        ("p4d,us-east-1,on-demand,0,2026-06-01,current,list-a", "usd_per_hour", "not above zero"),
        ("p4d,us-east-1,on-demand,-3,2026-06-01,current,list-a", "usd_per_hour", "not above zero"),
        ("p4d,us-east-1,on-demand,nan,2026-06-01,current,list-a", "usd_per_hour", "not a number"),
        ("p4d,us-east-1,on-demand,inf,2026-06-01,current,list-a", "usd_per_hour", "not a number"),
        ("p4d,us-east-1,on-demand,1_0,2026-06-01,current,list-a", "usd_per_hour", "not a number"),
        ("p4d,us-east-1,ondemand,1,2026-06-01,current,list-a", "market", "none of on-demand, spot, reserved"),
        ("p4d,us-east-1,on-demand,1,01.06.2026,current,list-a", "observed_on", "not a date"),
        ("p4d,us-east-1,on-demand,1,2026-02-30,current,list-a", "observed_on", "not a date"),
        ("p4d,us-east-1,on-demand,1,2026-06-01,gone,list-a", "status", "none of current"),
        (",us-east-1,on-demand,1,2026-06-01,current,list-a", "instance_type", "must be filled"),
        ("p9,us-east-1,on-demand,1,2026-06-01,current,list-a", "instance_type", "not in instance_types.csv"),
        ("p4d,us\x1b[2J,on-demand,1,2026-06-01,current,list-a", "region", "not printable ASCII"),
        ("p4d,us-east-1,on-demand,1", "usd_per_hour", "4 cells, the header 7"),
    ],
)
def test_a_bad_offer_is_found(tmp_path, row, column, words):
    good = "p4d,eu-west-1,on-demand,24.5,2026-06-01,current,list-a\n"
    error = fault(tmp_path, offers_aws=HEADER + good + row + "\n")
    assert "offers/aws.csv line 3, column " + column in error.message and words in error.message
    assert (error.details["file"], error.details["line"], error.details["column"]) == ("offers/aws.csv", 3, column)
    assert error.exit_code == 2 and "\x1b" not in error.message


@pytest.mark.parametrize(
    ("file", "text", "where"),
    [
        ("accelerators", "name,memory_gib\nA10,big\n", "accelerators.csv line 2, column memory_gib"),
        ("accelerators", "name,memory_gb\nA10,24\n", "column memory_gb: 'memory_gb' is no column"),
        ("accelerators", "family\nA10\n", "column name: The column is missing"),
        ("accelerators", "name,name\nA10,A10\n", "stands there twice"),
        ("instance_types", "cloud,instance_type,accelerator,accelerator_count\naws,p4d,A10,0\n", "accelerator_count"),
        ("benchmarks", "accelerator,accelerator_count,model,throughput,unit\nA10,1,gpt,5,tokens\n", "column unit"),
        ("models", 'model,note\ngpt,"open\n', "models.csv line 2"),
    ],
)
def test_a_bad_row_of_another_file_is_found(tmp_path, file, text, where):
    assert where in fault(tmp_path, **{file: text}).message


def test_a_file_that_is_not_text_is_found(tmp_path):
    write(tmp_path)
    (tmp_path / "offers/aws.csv").write_bytes(HEADER.encode() + b"p4d,us-east-1,on-demand,1,,,\xff\n")
    with pytest.raises(UsageError, match=r"offers/aws\.csv line 2: The file is not UTF-8"):
        open_catalog(folder=tmp_path)


def test_a_quoted_line_break_does_not_shift_the_line_number(tmp_path):
    error = fault(tmp_path, models='model,note\ngpt,"two\nlines"\n')
    assert "models.csv line 2, column note" in error.message


def test_only_keys_and_the_figure_must_be_filled(tmp_path):
    folder = write(
        tmp_path,
        accelerators=None,
        offers_aws="instance_type,usd_per_hour\np4d,5\n",
        instance_types="cloud,instance_type,accelerator,accelerator_count\naws,p4d,H9,2\n",
        offers_azure=None,
        offers_gcp=None,
        offers_lambda=None,
    )
    with open_catalog(folder=folder) as catalog:
        assert [card.family for card in catalog.accelerators()] == ["H9"]
        assert [kind.accelerator_count for kind in catalog.instance_types()] == [2]


def test_everything_wrong_is_found_in_one_reading(tmp_path):
    rows = "p4d,r,on-demand,x,,,\np4d,r,never,y,,,\n\np4d,r,spot,3,,,\n"
    put(tmp_path, "offers/aws.csv", HEADER + rows)
    kept, problems = read(tmp_path / "offers/aws.csv", "offers/aws.csv", OFFER_TABLE)
    assert [(problem.line, problem.column) for problem in problems] == [
        (2, "usd_per_hour"),
        (3, "market"),
        (3, "usd_per_hour"),
    ]
    assert [(row.line, row.values["usd_per_hour"]) for row in kept] == [(5, 3.0)]


def test_the_fast_and_the_slow_reader_agree(tmp_path):
    write(tmp_path)
    for file in FILES:
        table = TABLES.get(file.removesuffix(".csv"), OFFER_TABLE)
        fast = [row for batch in batches(tmp_path / file, file, table) for row in batch]
        slow = [tuple(row.values.values()) for row in read(tmp_path / file, file, table)[0]]
        assert fast == slow and fast
