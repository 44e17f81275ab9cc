"""Maintainers' programs: rebuild the catalog, the command reference and the golden help pages."""
