"""Features of known spikes beside each other: how well do they tell neurons apart?"""
