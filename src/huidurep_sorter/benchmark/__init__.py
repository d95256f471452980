"""Compare features of spikes, or sorters, on recordings whose true spikes are known."""
