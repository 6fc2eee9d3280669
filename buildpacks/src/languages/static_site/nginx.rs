//! Files served by nginx: its configuration, and the stages that end in an image with it.

use super::settings::{Missing, Site};
use crate::languages::App;
use crate::recipe::{Run, Stage};

const IMAGE: &str = "nginx:stable";
const CONFIGURATION: &str = "/etc/nginx/nginx.conf";

/// Names that build tools make up from a file's contents: who has such a file never needs to ask for it again.
const HASHED: [&str; 3] = [
    r#""~[.-](?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{8,}\.[a-z0-9.]+$""#,
    r#""~-[0-9A-Z]{8}\.(js|css|woff2)$""#,
    r#""~^/(_next/static|_astro|_nuxt|_app/immutable)/""#,
];
/// Those of Vite, which a handwritten file may have too.
const HASHED_BY_BUILD: &str = r#""~^/assets/.*-[0-9A-Za-z_-]{8}\.[a-z0-9]+$""#;
const FOREVER: &str = r#""public, max-age=31536000, immutable""#;

/// The command that fills in the port, which is known only when the process starts.
pub(crate) const WEB: &str = "sed \"s/0.0.0.0:PORT/0.0.0.0:$PORT/\" /etc/nginx/nginx.conf > /tmp/nginx.conf && \
                              exec nginx -e /dev/stderr -c /tmp/nginx.conf -g 'daemon off;'";

/// The stages that serve a site; its files come from the tree, or from `/app` of the stage `built`.
pub(crate) fn stages(app: &App<'_>, site: &Site, built: Option<&str>) -> [Stage; 2] {
    let image = app.bases.image(IMAGE);
    let lines: Vec<String> = configuration(site).iter().map(|line| format!("'{line}'")).collect();
    let print = format!("printf '%s\\n' \\\n      {} > {CONFIGURATION}", lines.join(" \\\n      "));
    let configured = Stage::new("config", image.as_str())
        .comment("nginx as any user, on the port of the platform, which the start command fills in.")
        .run(Run::new([print]));
    let run = Stage::new("run", image).copy_from("config", CONFIGURATION, CONFIGURATION);
    let run = match built {
        Some(stage) => {
            let folder = if site.root.is_empty() { "/app".to_owned() } else { format!("/app/{}", site.root) };
            run.copy_from(stage, &folder, "./public")
        }
        None => run.copy_to(if site.root.is_empty() { "." } else { &site.root }, "./public"),
    };
    [configured, run]
}

fn configuration(site: &Site) -> Vec<String> {
    let mut lines: Vec<String> = [
        "worker_processes 2;",
        "pid /tmp/nginx.pid;",
        "error_log /dev/stderr warn;",
        "events { worker_connections 1024; }",
        "http {",
        "  include /etc/nginx/mime.types;",
        "  default_type application/octet-stream;",
        "  access_log /dev/stdout;",
        "  sendfile on;",
        "  server_tokens off;",
        "  charset utf-8;",
        "  client_body_temp_path /tmp/client;",
        "  proxy_temp_path /tmp/proxy;",
        "  fastcgi_temp_path /tmp/fastcgi;",
        "  uwsgi_temp_path /tmp/uwsgi;",
        "  scgi_temp_path /tmp/scgi;",
        "  gzip on;",
        "  gzip_vary on;",
        "  gzip_proxied any;",
        "  gzip_types text/css text/plain text/xml application/javascript application/json application/xml image/svg+xml;",
        "  map $uri $caching {",
        "    default no-cache;",
    ]
    .map(str::to_owned)
    .to_vec();
    let by_build = site.is_built.then_some(HASHED_BY_BUILD);
    lines.extend(HASHED.into_iter().chain(by_build).map(|pattern| format!("    {pattern} {FOREVER};")));
    lines.extend(["  }", "  server {"].map(str::to_owned));
    lines.extend(server(site));
    lines.extend(["  }", "}"].map(str::to_owned));
    lines
}

fn server(site: &Site) -> Vec<String> {
    let mut lines: Vec<String> = [
        "    listen 0.0.0.0:PORT;",
        "    root /app/public;",
        "    absolute_redirect off;",
        "    add_header Cache-Control $caching;",
    ]
    .map(str::to_owned)
    .to_vec();
    let html = if site.clean_urls { " $uri.html" } else { "" };
    match &site.missing {
        Missing::Fallback(page) => {
            lines.push(format!("    location / {{ try_files $uri{html} $uri/index.html /{page}; }}"));
            // A page in place of a script would be an error that nobody understands.
            lines.push(
                "    location ~* \\.(css|js|mjs|map|json|png|jpe?g|gif|svg|ico|webp|avif|woff2?)$ { try_files $uri =404; }"
                    .to_owned(),
            );
        }
        Missing::Page(page) => {
            lines.push(format!("    location / {{ try_files $uri{html} $uri/ =404; }}"));
            lines.push(format!("    error_page 404 /{page};"));
            lines.push(format!("    error_page 403 =404 /{page};"));
        }
        Missing::Plain => lines.push(format!("    location / {{ try_files $uri{html} $uri/ =404; }}")),
    }
    // What lies beside the pages for others than their readers.
    lines.push("    location ~ /\\.(?!well-known/) { return 404; }".to_owned());
    if site.root.is_empty() {
        lines.push(
            "    location ~ ^/(Procfile|Aptfile|app\\.json|static\\.json|project\\.toml)$ { return 404; }"
                .to_owned(),
        );
    }
    lines
}
