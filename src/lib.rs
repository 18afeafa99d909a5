//! cosmirror.
