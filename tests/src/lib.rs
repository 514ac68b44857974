//! Nothing of its own: this package holds the tests that need more than one crate, in `tests/`.
