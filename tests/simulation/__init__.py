"""A deterministic simulator: the operators, ledger and client that ship, in a world whose every move a seed chooses.

One thread. Each process of the simulated world (a try on a worker, a wait in the triggerer) is a greenlet, and hands
over at every store call, gateway call and sleep. ``rules.py`` says what must hold, ``plan.py`` what may happen.
"""
