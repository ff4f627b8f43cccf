"""Writes that pass by the service."""
