"""Traces -> peaks, each with a feature vector, a position and a cluster."""
