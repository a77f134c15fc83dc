"""Questions to a posterior, a file a verb: predictions, few new rows, borrowing, change points.

Enters: verbs that leave no row out.
"""
