//! Apache of the official image: on $PORT, with the document root, as a user that is not root.

use crate::languages::php::root::Root;
use crate::recipe::{Run, Stage};

pub(super) fn configure(run: Stage, root: &Root) -> Stage {
    let folder = if root.folder.is_empty() { "/app".to_owned() } else { format!("/app/{}", root.folder) };
    let mut lines = vec![
        "ServerName localhost".to_owned(),
        format!("<Directory \"{folder}\">"),
        "  Options FollowSymLinks".to_owned(),
        "  AllowOverride All".to_owned(),
        "  Require all granted".to_owned(),
    ];
    if root.has_front {
        lines.push("  FallbackResource /index.php".to_owned());
    }
    lines.push("</Directory>".to_owned());
    if root.folder.is_empty() {
        // The root holds more than what is meant to be seen.
        lines.push("RedirectMatch 404 \"/(\\.(?!well-known)|vendor/|composer\\.|Procfile)\"".to_owned());
    }
    let lines: Vec<String> = lines.iter().map(|line| format!("'{line}'")).collect();
    let commands = [
        "sed -i 's/^Listen 80$/Listen ${PORT}/' /etc/apache2/ports.conf".to_owned(),
        format!(
            "sed -i -e 's/\\*:80>/*:${{PORT}}>/' -e 's!/var/www/html!{folder}!' \\\n      \
             /etc/apache2/sites-available/000-default.conf"
        ),
        format!("printf '%s\\n' {} \\\n      > /etc/apache2/conf-available/app.conf", lines.join(" \\\n      ")),
        "a2enconf -q app".to_owned(),
        "a2enmod -q rewrite headers expires".to_owned(),
        "if [ -n \"$PHP_INI_DIR\" ]; then cp \"$PHP_INI_DIR/php.ini-production\" \"$PHP_INI_DIR/php.ini\"; fi".to_owned(),
    ];
    run.comment("Apache serves the document root on $PORT.").run(Run::new(commands))
}
