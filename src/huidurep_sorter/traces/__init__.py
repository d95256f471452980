"""Raw recording -> clean traces in units of noise."""
