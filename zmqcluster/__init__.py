"""Stateful processes on many machines."""
