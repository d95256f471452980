"""Sorters beside each other on recordings with ground truth."""
