# A builder: lifecycle, buildpacks and their order on an image to build in.
FROM slipway/base:latest
RUN useradd --uid 1001 --user-group --create-home --shell /bin/sh cnb
ENV CNB_USER_ID=1001 CNB_GROUP_ID=1001
COPY lifecycle /cnb/lifecycle
COPY buildpack /cnb/buildpacks/slipway_script/0.0.1
COPY order.toml /cnb/order.toml
LABEL io.buildpacks.lifecycle.version="0.21.0" \
      io.buildpacks.lifecycle.apis="{\"buildpack\":{\"deprecated\":[],\"supported\":[\"0.7\",\"0.8\",\"0.9\",\"0.10\",\"0.11\",\"0.12\"]},\"platform\":{\"deprecated\":[],\"supported\":[\"0.7\",\"0.8\",\"0.9\",\"0.10\",\"0.11\",\"0.12\",\"0.13\",\"0.14\",\"0.15\"]}}" \
      io.buildpacks.builder.metadata="{\"description\":\"For tests\"}"
USER 1001:1001
WORKDIR /workspace
