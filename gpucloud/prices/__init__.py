"""The clouds' own price lists, each read by one small module."""
