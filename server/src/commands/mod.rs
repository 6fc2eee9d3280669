//! The verbs, written once: the CLI calls the HTTP API over the network, the SSH door calls it in process.
