"""Which units of several sessions are one neuron."""
