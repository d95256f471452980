"""Run several sorters on recordings with known units, and compare what they find."""
