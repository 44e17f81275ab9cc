"""The user's rows lie over the shipped ones: same key wins, for prices the newer observation."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from gpucloud.catalog.catalog import open_catalog
from gpucloud.core.query import OfferQuery
from tests.small_catalog import put, write

HEADER = "instance_type,region,zone,market,term_months,usd_per_hour,observed_on\n"
EVERYTHING = OfferQuery(all_regions=True, market="any", retired=True, suspect=True)


def price_of(folder, overlay, region="us-east-1", market="on-demand"):
    with open_catalog(overlay, folder=folder) as catalog:
        offers = catalog.offers(EVERYTHING)
    return [
        offer.usd_per_hour
        for offer in offers
        if (offer.cloud, offer.instance_type, offer.region, offer.market) == ("aws", "p4d", region, market)
    ]


def over(tmp_path, row):
    folder, overlay = write(tmp_path / "csv"), tmp_path / "over"
    put(overlay, "offers/aws.csv", HEADER + row + "\n")
    return folder, overlay


def test_a_newer_price_wins(tmp_path):
    assert price_of(*over(tmp_path, "p4d,us-east-1,,on-demand,,20,2026-07-01")) == [20]


def test_a_price_of_the_same_day_wins(tmp_path):
    assert price_of(*over(tmp_path, "p4d,us-east-1,,on-demand,,20,2026-06-01")) == [20]


def test_an_older_price_loses(tmp_path):
    assert price_of(*over(tmp_path, "p4d,us-east-1,,on-demand,,20,2026-05-31")) == [21.957642]


def test_another_key_stands_beside(tmp_path):
    folder, overlay = over(tmp_path, "p4d,us-east-1,us-east-1a,on-demand,,20,2020-01-01")
    assert price_of(folder, overlay) == [21.957642, 20]


def test_a_new_place_is_known(tmp_path):
    folder, overlay = over(tmp_path, "p4d,moon-1,,on-demand,,20,2026-05-31")
    with open_catalog(overlay, folder=folder) as catalog:
        assert "moon-1" in catalog.regions(("aws",))


def test_rows_of_other_files_are_replaced_by_key(tmp_path):
    folder, overlay = write(tmp_path / "csv"), tmp_path / "over"
    put(overlay, "accelerators.csv", "name,family,memory_gib\nK80,K80,13\nX1,X1,99\n")
    put(overlay, "benchmarks.csv", "accelerator,accelerator_count,model,throughput,unit\nX1,1,mine,7,steps/s\n")
    with open_catalog(overlay, folder=folder) as catalog:
        memory = {card.name: card.memory_gib for card in catalog.accelerators()}
        assert (memory["K80"], memory["X1"], memory["A10"]) == (13, 99, 24)
        assert "mine" in catalog.model_names() and len(catalog.benchmarks("resnet50")) == 6


def test_an_own_instance_type_brings_its_offers(tmp_path):
    folder, overlay = write(tmp_path / "csv"), tmp_path / "over"
    put(overlay, "instance_types.csv", "cloud,instance_type,accelerator,accelerator_count\nmine,box,A10,2\n")
    put(overlay, "offers/mine.csv", "instance_type,usd_per_hour,price_kind\nbox,1.5,own\n")
    with open_catalog(overlay, folder=folder) as catalog:
        (offer,) = catalog.offers(OfferQuery(clouds=("mine",)))
        assert (offer.usd_per_gpu_hour, offer.gpu_memory_gib, offer.price_kind) == (0.75, 24, "own")


KEYS = st.tuples(
    st.sampled_from(["p4d", "p4de"]),
    st.sampled_from(["", "r1", "r2"]),
    st.sampled_from(["", "z"]),
    st.sampled_from(["on-demand", "spot", "reserved"]),
    st.sampled_from(["", "12", "36"]),
)
ROWS = st.dictionaries(KEYS, st.tuples(st.integers(1, 99), st.sampled_from(["", "2025-01-01", "2026-01-01"])))


@settings(max_examples=40, deadline=None)
@given(ROWS, ROWS)
def test_overlay_is_the_newer_of_each_key(below, above):
    expected = dict(below)
    for key, (price, day) in above.items():
        if key not in below or day >= below[key][1]:
            expected[key] = (price, day)
    with TemporaryDirectory() as place:
        folder = write(Path(place) / "csv", offers_azure=None, offers_gcp=None, offers_lambda=None)
        for where, rows in ((folder, below), (Path(place) / "over", above)):
            lines = [f"{','.join(key)},{price},{day}\n" for key, (price, day) in rows.items()]
            put(where, "offers/aws.csv", HEADER + "".join(lines))
        with open_catalog(Path(place) / "over", folder=folder) as catalog:
            found = {
                (o.instance_type, o.region, o.zone, o.market, f"{o.term_months:g}" if o.term_months else ""): (
                    o.usd_per_hour,
                    o.observed_on,
                )
                for o in catalog.offers(EVERYTHING)
            }
    assert found == expected
