"""Checks, one module for each subject."""
