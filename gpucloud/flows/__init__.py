"""The floor where decisions meet effects: plans are applied, runs are followed."""
