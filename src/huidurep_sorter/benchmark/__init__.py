"""Benchmarks that anyone can run on any folder of recordings with ground truth."""
