//! Settings: parsed once, a struct a section, each with its environment variable.
