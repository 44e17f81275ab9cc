"""The catalog edge: finds the CSV tables, validates them and answers queries from an SQLite index."""
