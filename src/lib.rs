//! Ferrite.
