"""Sample alignment: the common customers, in one order, without showing the others."""
