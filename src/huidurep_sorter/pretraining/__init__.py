"""Pretraining of the encoder: simulate or read recordings, make pairs of views, train."""
