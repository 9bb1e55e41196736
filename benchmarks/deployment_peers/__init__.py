"""The same policies in other people's runtimes, to be timed beside this package's files.

One file a peer. All of them get the live, dense layers that are left of a pruned agent: none has a
sparse product of its own for such policies. Only their files' functions import them.
"""
