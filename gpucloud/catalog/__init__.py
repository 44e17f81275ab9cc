"""The catalog's edge: where the CSV files lie, loading with validation, the overlay, the SQLite index and its queries.

`open_catalog()` in `gpucloud.catalog.catalog` is the door; nothing is imported here, so that it stays cheap.
"""
