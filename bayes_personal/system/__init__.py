"""Services that know neither data nor models: argument checks, threads and signals, memory, complete writing of files.

Enters: code that any program could use.
"""
