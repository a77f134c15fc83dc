"""What knows neither data nor models: arguments and their errors, threads and signals, memory, files written whole.

Enters: what any program could use.
"""
