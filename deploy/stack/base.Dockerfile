# The same image as deploy/stack/build makes from Debian packages, for machines
# that can pull public images. No context is needed.
FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends \
      busybox ca-certificates libpython3-stdlib python3-minimal \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 1000 --user-group --home-dir /app --no-create-home --shell /bin/sh app \
 && install --directory --owner=app --group=app /app
ENV PYTHONUNBUFFERED=1
WORKDIR /app
CMD ["/bin/sh"]
