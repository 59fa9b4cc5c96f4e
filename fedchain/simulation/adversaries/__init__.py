"""The fault injector: parties that break the rules, each a real party of its own.

An adversary (`party.Adversary`) runs the real party's code (`fedchain.federation.party`) and changes what goes into it
and what comes out: its table, the messages that it takes and sends, the envelopes that it has judged, and when. It has
what a real one would have: its own data, its own keys, and whatever is public. `registry.FAULTS` names the faults with
the ranges that their amplitudes are drawn from.
"""
