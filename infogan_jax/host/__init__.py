"""What a program asks of the machine it runs on; nothing here knows of networks.

Files that are written whole or not at all, locks, the terminal, signals, other
processes, and which hardware and versions there are.
"""
