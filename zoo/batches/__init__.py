"""Ids and padded tensors: how texts become ids, and what a batch of each task is."""
