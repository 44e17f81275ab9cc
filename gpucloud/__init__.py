"""gpucloud: compare GPU options by the cost of the work, then provision, run and tear down over SSH."""

__version__ = "0.1.0"
