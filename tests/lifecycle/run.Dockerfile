# What the apps of the test builder run on.
FROM slipway/base:latest
USER app
WORKDIR /workspace
