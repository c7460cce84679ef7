"""Recipes that train on several processes, right ones and wrong ones, each with what should be said of it."""
