"""Datasets that are made here: collected by a recipe, and stored."""
