"""What the package asks of the operating system: threads and signals, memory, files that are written whole and sealed.

Enters: what knows neither data nor models.
"""
