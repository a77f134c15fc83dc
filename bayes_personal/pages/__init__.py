"""What is drawn and written for people: plots and the report.

Enters: pictures and pages, which compute nothing that a verb does not return.
"""
