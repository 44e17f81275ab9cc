"""The maintainers' program that builds catalogs/ from a folder of reference tables (see docs/data.md)."""
