"""Matched spikes -> units that can be trusted."""
