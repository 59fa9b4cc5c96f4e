"""Cryptography: points of secp256k1 in bulk, exponential ElGamal, PSI primitives, sealing, Merkle digests.

Knows no protocol and does no I/O, except for the table of small discrete logarithms, which the driver loads
(`dlog.DlogTable.load_or_build`) and hands in.

    curve        constants of secp256k1, and the loops over libsecp256k1
    pairs        the same for two groups of points at once: faster sums
    points       PointArray: n points in one numpy array
    scalars      many scalars modulo the order, in numpy
    tables       fixed-base windows: many scalars, one public point
    ciphertexts  arrays of ciphertexts and their bytes
    keys         public keys
    elgamal      additively homomorphic encryption of small integers
    masks        one-time masks, fresh or from a pool filled in idle time
    histograms   encrypted sums per node, feature and bin
    dlog         from m·G back to a small m
    fixed_point  real numbers to integers whose sums stay decryptable
    psi          hashing to the curve, blinding, tags
    seal         authenticated encryption to several recipients
    merkle       the digest of a payload
"""
