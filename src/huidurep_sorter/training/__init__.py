"""How an encoder is trained: simulated or real recordings -> weights."""
