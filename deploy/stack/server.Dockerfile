# As ../Dockerfile, of a program that was compiled before (target/image/slipway), on
# a base that has git and certificates.
ARG BASE_IMAGE=slipway/runtime

FROM ${BASE_IMAGE}
ENV SLIPWAY_DATA_DIR=/var/lib/slipway
VOLUME /var/lib/slipway
STOPSIGNAL SIGTERM
CMD ["slipway", "serve"]
COPY target/image/slipway /usr/local/bin/slipway
