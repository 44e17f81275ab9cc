"""What the catalog calls startable is what a driver here can start."""

from __future__ import annotations

from gpucloud.catalog.catalog import open_catalog
from gpucloud.core.cloud import SellsOffers
from gpucloud.core.offers import CLOUDS_WITH_DRIVER
from gpucloud.core.query import OfferQuery
from gpucloud.providers import registry
from gpucloud.providers.site import Site


def test_the_clouds_of_the_catalog_with_a_driver_are_those_of_the_registry(tmp_path):
    """Every driver is for a cloud of the catalog, or sells its own offers."""
    site = Site(tmp_path, "home", {})
    drivers = [name for name, module in registry.DRIVERS.items() if registry.has_driver(module)]
    own = [name for name in drivers if isinstance(registry.open_provider(name, site), SellsOffers)]
    assert set(drivers) - set(own) == set(CLOUDS_WITH_DRIVER)


def test_nothing_else_is_startable_and_no_tpu(tmp_path):
    with open_catalog(tmp_path / "none", tmp_path) as catalog:
        startable = list(catalog.offers(OfferQuery(market="any", all_regions=True, provisionable_only=True)))
        forms = {card.name: card.form for card in catalog.accelerators()}
    assert {offer.cloud for offer in startable} == set(CLOUDS_WITH_DRIVER)
    assert {forms[offer.accelerator] for offer in startable}.isdisjoint({"tpu"})
    assert len(startable) > 1000
