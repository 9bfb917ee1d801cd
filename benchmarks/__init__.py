"""Measurements of triggerdev beside a peer, in one run."""
