"""Plots and the report, for people to look at.

Enters: pictures and pages, which compute nothing that a verb does not return.
"""
