"""What KATO looks like from outside: key grammar, document shapes, names. Pure, no I/O."""
