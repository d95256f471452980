"""The learned representation: network, embedding of spikes, files of weights."""
