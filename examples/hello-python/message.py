# The line that `make demo` changes.
MESSAGE = "Hello from Slipway"
