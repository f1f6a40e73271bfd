"""genera: train, diagnose, compare and use deep generative models."""

__version__ = "0.1.0"
