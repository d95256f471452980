"""Clusters -> templates -> every spike of each template."""
