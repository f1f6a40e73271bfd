"""The version of genera, as run folders and model cards record it."""

VERSION = "0.1.0"
