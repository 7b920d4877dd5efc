"""Runs that keep a record of every image: they go on where they stopped, on one machine or many."""
