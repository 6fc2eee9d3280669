//! Extensions of PHP: those that official images have, and those that can be added to them.

use std::collections::BTreeMap;

use crate::error::DetectError;
use crate::languages::php::composer::Composer;
use crate::languages::php::error::PhpError;
use crate::recipe::{Run, Stage};
use crate::source::Tree;

/// The stage that adds extensions, on which the others build.
pub(super) const STAGE: &str = "php";

const PRESENT: [&str; 29] = [
    "core",
    "ctype",
    "curl",
    "date",
    "dom",
    "fileinfo",
    "filter",
    "hash",
    "iconv",
    "json",
    "libxml",
    "mbstring",
    "mysqlnd",
    "openssl",
    "pcre",
    "pdo",
    "pdo_sqlite",
    "phar",
    "posix",
    "random",
    "readline",
    "reflection",
    "session",
    "simplexml",
    "sodium",
    "spl",
    "sqlite3",
    "standard",
    "tokenizer",
];
const PRESENT_TOO: [&str; 5] = ["xml", "xmlreader", "xmlwriter", "zlib", "zend-opcache"];
/// Made from PHP's own source by the official images' tool; with the Debian packages that each needs.
const ADDED: [(&str, &str); 26] = [
    ("bcmath", ""),
    ("bz2", "libbz2-dev"),
    ("calendar", ""),
    ("exif", ""),
    ("ffi", "libffi-dev"),
    ("ftp", "libssl-dev"),
    ("gd", "libpng-dev libjpeg-dev libwebp-dev libfreetype-dev"),
    ("gettext", ""),
    ("gmp", "libgmp-dev"),
    ("intl", "libicu-dev"),
    ("ldap", "libldap-dev"),
    ("mysqli", ""),
    ("opcache", ""),
    ("pcntl", ""),
    ("pdo_mysql", ""),
    ("pdo_pgsql", "libpq-dev"),
    ("pgsql", "libpq-dev"),
    ("shmop", ""),
    ("soap", "libxml2-dev"),
    ("sockets", ""),
    ("sysvmsg", ""),
    ("sysvsem", ""),
    ("sysvshm", ""),
    ("tidy", "libtidy-dev"),
    ("xsl", "libxslt1-dev"),
    ("zip", "libzip-dev"),
];
/// Packages without which hardly an app reaches its database, although few ask for the extension.
const IMPLIED: [(&str, &[&str]); 7] = [
    ("laravel/framework", &["pdo_mysql", "pdo_pgsql"]),
    ("illuminate/database", &["pdo_mysql", "pdo_pgsql"]),
    ("doctrine/dbal", &["pdo_mysql", "pdo_pgsql"]),
    ("cakephp/cakephp", &["pdo_mysql", "pdo_pgsql"]),
    ("drupal/core", &["pdo_mysql", "pdo_pgsql"]),
    ("roots/wordpress", &["mysqli"]),
    ("johnpbloch/wordpress", &["mysqli"]),
];
/// A file that WordPress has where the whole of it is committed, without Composer.
const WORDPRESS: &str = "wp-includes/version.php";
/// Without these gd reads PNG alone.
const CONFIGURE_GD: &str = "case \" $lacks \" in *\" gd \"*) docker-php-ext-configure gd --with-jpeg --with-webp --with-freetype;; esac";

pub(super) fn wanted(tree: &Tree<'_>, composer: &Composer) -> Result<Vec<&'static str>, DetectError> {
    let mut required: BTreeMap<String, String> = composer.extensions();
    if tree.has(WORDPRESS) {
        required.entry("mysqli".to_owned()).or_insert("WordPress".to_owned());
    }
    for (package, extensions) in IMPLIED.iter().filter(|(package, _)| composer.has_package(package)) {
        for extension in *extensions {
            required.entry((*extension).to_owned()).or_insert((*package).to_owned());
        }
    }
    let mut wanted = Vec::new();
    for (extension, from) in required {
        if PRESENT.iter().chain(&PRESENT_TOO).any(|name| *name == extension) {
            continue;
        }
        let Some((name, _)) = ADDED.iter().find(|(name, _)| *name == extension) else {
            let known: Vec<&str> = ADDED.iter().map(|(name, _)| *name).collect();
            return Err(PhpError::NoExtension { extension, from, known: known.join(", ") }.into());
        };
        wanted.push(*name);
    }
    Ok(wanted)
}

/// Adds what the image lacks: others than the official ones may have more.
pub(super) fn install(stage: Stage, extensions: &[&str]) -> Stage {
    let mut libraries: Vec<&str> =
        ADDED.iter().filter(|(name, _)| extensions.contains(name)).map(|(_, library)| *library).collect();
    libraries.retain(|library| !library.is_empty());
    libraries.dedup();
    let lacks = format!(
        "for name in {}; do php -m | grep -qixE \"(zend )?$name\" || lacks=\"$lacks $name\"; done",
        extensions.join(" ")
    );
    let mut added = Vec::new();
    if !libraries.is_empty() {
        added.push("apt-get update".to_owned());
        added.push(format!("apt-get install --yes --no-install-recommends {}", libraries.join(" ")));
        added.push("rm -rf /var/lib/apt/lists/*".to_owned());
    }
    if extensions.contains(&"gd") {
        added.push(CONFIGURE_GD.to_owned());
    }
    added.push("docker-php-ext-install -j\"$(nproc)\" $lacks".to_owned());
    let add = format!("if [ -n \"$lacks\" ]; then \\\n      {}; fi", added.join(" && \\\n      "));
    stage
        .comment("Extensions that the app requires, unless the image has them.")
        .run(Run { downloads: true, ..Run::new([lacks, add]) })
}
