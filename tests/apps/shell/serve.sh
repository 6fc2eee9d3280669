#!/bin/sh
# The page is made at the start, so that it can tell where it runs.
mkdir -p /tmp/www
sed "s/@PORT@/$PORT/" www/index.html >/tmp/www/index.html
exec busybox httpd -f -p "$PORT" -h /tmp/www
