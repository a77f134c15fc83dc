"""What is asked of a posterior, a file a verb: predictions, few new rows, what is borrowed, where changes are.

Enters: verbs that leave no row out.
"""
